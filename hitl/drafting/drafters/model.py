"""The drafter that asks a language model, through any endpoint with OpenAI's chat completions. It needs the extra `llm`.

A model's answer is foreign text: it is parsed and validated as strictly as a pasted card. It never chooses the repository, the agents, a budget
or the review. If the model fails, the template drafts the card and the reason is shown. The reason never quotes the server, because the server
may repeat the key."""
import queue
import sys
import threading
import time
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, SwarmError
from engine.text import json_from_outside
from hitl.card.shape import SCHEMA
from hitl.card.spec_card import validate
from hitl.drafting.drafters import Brief, Drafted
from hitl.drafting.drafters.prompt import messages, repair
from hitl.drafting.drafters.template import TemplateDrafter
from hitl.web import strict_json

LARGEST = 2_000_000  # bytes of a reply
_AT_ONCE = threading.BoundedSemaphore(4)  # calls in this process; a call that hangs keeps its place until its connection gives up
_ASKED = {"name": "spec_card", "strict": False, "schema": {name: value for name, value in SCHEMA.items() if not name.startswith("$schema")}}
_NOT_ITS_OWN = ("repository", "base_branch", "review", "agent", "budget", "pull_requests", "max_parallel")  # these stay as in the current card


class Unusable(Exception):
    """The model gave no usable card. The text is one sentence that says why."""


class ModelDrafter:
    """Asks the model; if the answer is not a valid card, asks once more with the list of problems. Both take at most SWARM_MODEL_SECONDS."""

    name = "model"

    def __init__(self, config: Config) -> None:
        self.config = config

    def why_not(self) -> str | None:
        """Why it cannot be asked at all, or None."""
        if not self.config.model_url or not self.config.model:
            return "No model is configured. Set SWARM_MODEL_URL and SWARM_MODEL."
        try:
            import openai  # noqa: F401
        except ImportError:
            return "The package openai is missing. Install it with: pip install -e '.[llm]'."
        return None

    def draft(self, brief: Brief) -> Drafted:
        reason = self.why_not()
        if reason is None:
            try:
                return Drafted(self._within_time(brief), self.name)
            except Unusable as unusable:
                reason = str(unusable)
        return Drafted(TemplateDrafter().draft(brief).card, TemplateDrafter.name, reason)

    def _within_time(self, brief: Brief) -> dict[str, Any]:
        """The call in its own thread, so that a very slow server does not block the user. Raises Unusable."""
        if not _AT_ONCE.acquire(blocking=False):
            raise Unusable("Four drafts are being written already. Try again in a moment.")
        answers: queue.SimpleQueue[dict[str, Any] | Exception] = queue.SimpleQueue()
        deadline = time.monotonic() + self.config.model_seconds

        def work() -> None:
            try:
                answers.put(self._card(brief, deadline))
            except Exception as error:
                answers.put(error)
            finally:
                _AT_ONCE.release()

        threading.Thread(target=work, name="draft", daemon=True).start()
        try:
            answer = answers.get(timeout=self.config.model_seconds)
        except queue.Empty:
            raise Unusable(f"The model gave no answer within {self.config.model_seconds:g} seconds (SWARM_MODEL_SECONDS).") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _card(self, brief: Brief, deadline: float) -> dict[str, Any]:
        talk = messages(brief)
        reply = self._ask(talk, deadline)
        try:
            return self._checked(reply, brief)
        except SwarmError as problem:
            reply = self._ask([*talk, *repair(reply, problem)], deadline)
            try:
                return self._checked(reply, brief)
            except SwarmError as second:
                raise Unusable(f"The model's answer is not a valid card, and neither is its second answer: {second.sentence[:300]}") from None

    def _checked(self, reply: str, brief: Brief) -> dict[str, Any]:
        """The card in a reply. Raises BadRequest if it is not JSON, InvalidCard if it is not a valid card."""
        card = strict_json.parse(_unfenced(reply).encode("utf-8", "surrogatepass"))
        if not isinstance(card, dict):
            raise BadRequest("The answer must be a JSON object: the card.")
        card = {name: value for name, value in card.items() if name in SCHEMA["properties"] and name not in _NOT_ITS_OWN}
        for feature in card["features"] if isinstance(card.get("features"), list) else ():
            if isinstance(feature, dict):
                feature.pop("agent", None)
                feature.pop("review", None)
        present = brief.card or {}
        card = {**card, **{name: value for name, value in present.items() if name in _NOT_ITS_OWN or name not in SCHEMA["properties"]}}
        return validate(card, self.config).card

    def _ask(self, talk: list[dict[str, str]], deadline: float) -> str:
        """The text of one answer. Raises Unusable."""
        import openai
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unusable(f"The model took longer than {self.config.model_seconds:g} seconds (SWARM_MODEL_SECONDS).")
        try:
            with openai.OpenAI(base_url=self.config.model_url, api_key=self.config.model_key or "none", max_retries=0, timeout=left,
                               default_headers={"Accept-Encoding": "identity"}) as client:
                call: Any = client.chat.completions.with_streaming_response  # its types do not accept a schema that is made at run time
                with call.create(model=self.config.model, messages=talk, response_format={"type": "json_schema", "json_schema": _ASKED}) as response:
                    return _text(_read(response, deadline))
        except openai.APIStatusError as error:
            raise Unusable(_MEANINGS.get(error.status_code, f"The model's server answered with status {error.status_code}.")) from None
        except openai.APITimeoutError:
            raise Unusable(f"The model gave no answer within {self.config.model_seconds:g} seconds (SWARM_MODEL_SECONDS).") from None
        except _transport_errors() as error:
            raise Unusable(f"The model at SWARM_MODEL_URL could not be reached, or the connection broke ({type(error).__name__}).") from None


def _transport_errors() -> tuple[type[Exception], ...]:
    """The errors of openai and of its HTTP library: httpx2 since version 3, httpx before. The library raises its own errors in the middle of an answer."""
    import openai
    return (openai.OpenAIError, *(sys.modules[name].HTTPError for name in ("httpx", "httpx2") if name in sys.modules))


_MEANINGS = {
    400: "The model's server refused the request (status 400). It may not support this model or structured output.",
    401: "The model's server refused the key (status 401). Check SWARM_MODEL_KEY.",
    403: "The model's server refused the key (status 403). Check SWARM_MODEL_KEY.",
    404: "The model's server does not know this address or model (status 404). Check SWARM_MODEL_URL and SWARM_MODEL.",
    429: "The model's server is busy or a quota is used up (status 429). Try again later.",
}


def _read(response: Any, deadline: float) -> bytes:
    """The whole body. Raises Unusable if it is too large or takes too long."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise Unusable(f"The model's answer is larger than {LARGEST // 1_000_000} MB.")
        if time.monotonic() > deadline:
            raise Unusable("The model's answer came too slowly (SWARM_MODEL_SECONDS).")
    return bytes(body)


def _text(body: bytes) -> str:
    """choices[0].message.content. Raises Unusable if it is missing or cut off."""
    try:
        choice = json_from_outside(body)["choices"][0]
        content, ended = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unusable("The answer of the model's server is not a chat completion.") from None
    if ended == "length":
        raise Unusable("The model's answer was cut off because it was too long.")
    if not isinstance(content, str) or not content.strip():
        raise Unusable("The model gave no answer.")
    return content


def _unfenced(text: str) -> str:
    """The text without its fenced block, if the model used one."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n"):-3]
    return text
