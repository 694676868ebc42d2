"""What the answers of a model's provider mean for a run: who must act, what is a wait, and what is the agent's own failure."""
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from gateway_side import KEY, Side, side
from model_upstream import Handler, chat, served, unused_port

from engine.errors import ProviderRefused, RateLimited, Transient

PATHS = {"chat": ("openai", "/openai/v1/chat/completions"), "responses": ("openai", "/openai/v1/responses"),
         "anthropic": ("anthropic", "/anthropic/v1/messages"), "gemini": ("gemini", "/gemini/v1beta/models/m:streamGenerateContent?alt=sse"),
         "gemini array": ("gemini", "/gemini/v1beta/models/m:streamGenerateContent")}
GOOD = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1},
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}}


def ask(gateway: Side, kind: str, **body: Any) -> int:
    return gateway.ask(PATHS[kind][1], {"model": "m", "messages": [], "stream": True, **body}).status


def quota_of(name: str, seconds: str) -> dict:
    return {"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details.", "status": "RESOURCE_EXHAUSTED",
                      "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]},
                                  {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds}]}}


def anthropic(kind: str, message: str) -> dict:
    return {"type": "error", "error": {"type": kind, "message": message}}


def openai(code: str | None, message: str, kind: str = "invalid_request_error", **more: Any) -> dict:
    return {"error": {"message": message, "type": kind, "code": code, "param": None, **more}}


REFUSED = [  # kind, status, body, what the sentence says of it and of what to do
    ("chat", 429, openai("insufficient_quota", "You exceeded your current quota, please check.", "insufficient_quota"), "quota or credit", "Add credit"),
    ("responses", 429, openai("insufficient_quota", "You exceeded your current quota.", "insufficient_quota"), "quota or credit", "SWARM_OPENAI_KEY"),
    ("chat", 429, openai("billing_hard_limit_reached", "Billing hard limit has been reached"), "quota or credit", "Add credit"),
    ("chat", 400, openai("billing_hard_limit_reached", "Billing hard limit has been reached"), "quota or credit", "Add credit"),
    ("chat", 429, openai("billing_not_active", "Your account is not active, please check your billing details."), "quota or credit", "Add credit"),
    ("chat", 402, openai(None, "Insufficient Balance", "unknown_error"), "quota or credit", "Add credit"),
    ("chat", 402, {}, "quota or credit", "Add credit"),
    ("chat", 402, {"error": {"code": 402, "message": "This request requires more credits"}}, "quota or credit", "Add credit"),
    ("chat", 401, openai("invalid_api_key", "Incorrect API key provided: sk-…"), "does not accept the key", "SWARM_OPENAI_KEY"),
    ("chat", 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xai-1"}, "does not accept", "SWARM_OPENAI_KEY"),
    ("chat", 404, openai("model_not_found", "The model `m` does not exist or you do not have access."), "does not offer the model “m”", "SWARM_OPENAI_MODEL"),
    ("chat", 403, openai("model_not_found", "Project `p` does not have access to model `m`"), "does not offer the model “m”", "SWARM_OPENAI_MODEL"),
    ("chat", 404, {"error": "model 'm' not found, try pulling it first"}, "does not offer the model", "SWARM_OPENAI_MODEL"),
    ("chat", 400, openai("invalid_request_error", "Model Not Exist"), "does not offer the model", "SWARM_OPENAI_MODEL"),
    ("chat", 400, {"error": {"code": 400, "message": "some/model is not a valid model ID"}}, "does not offer the model", "SWARM_OPENAI_MODEL"),
    ("responses", 400, openai("model_not_found", "The requested model 'm' does not exist.", param="model"), "does not offer", "SWARM_OPENAI_MODEL"),
    ("chat", 403, {"detail": "You have no access"}, "refuses access to the model “m”", "Give the account access"),
    ("chat", 404, b"<html><h1>Not Found</h1></html>", "is not at this address", "SWARM_OPENAI_URL"),
    ("chat", 405, b"", "is not at this address", "SWARM_OPENAI_URL"),
    ("anthropic", 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), "quota or credit", "Add credit"),
    ("anthropic", 402, anthropic("billing_error", "There is an issue with your billing."), "quota or credit", "SWARM_ANTHROPIC_KEY"),
    ("anthropic", 400, anthropic("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2030-01-01."),
     "quota or credit", "Add credit"),
    ("anthropic", 401, anthropic("authentication_error", "invalid x-api-key"), "does not accept the key", "SWARM_ANTHROPIC_KEY"),
    ("anthropic", 403, anthropic("permission_error", "Your API key does not have permission."), "refuses access", "SWARM_ANTHROPIC_MODEL"),
    ("anthropic", 404, anthropic("not_found_error", "model: m"), "does not offer the model “m”", "SWARM_ANTHROPIC_MODEL"),
    ("gemini", 400, {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT",
                               "details": [{"reason": "API_KEY_INVALID"}]}}, "does not accept the key", "SWARM_GEMINI_KEY"),
    ("gemini", 403, {"error": {"code": 403, "message": "Billing is off.", "status": "PERMISSION_DENIED", "details": [{"reason": "BILLING_DISABLED"}]}},
     "quota or credit", "Add credit"),
    ("gemini", 403, {"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}}, "refuses access", "SWARM_GEMINI_MODEL"),
    ("gemini", 404, {"error": {"code": 404, "message": "models/m is not found for API v1beta", "status": "NOT_FOUND"}}, "does not offer", "SWARM_GEMINI"),
    ("gemini", 429, quota_of("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "33s"), "quota or credit", "Add credit"),
    ("gemini array", 429, [quota_of("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "33s")], "quota or credit", "Add credit"),
]


@pytest.mark.parametrize(("kind", "status", "body", "cause", "step"), REFUSED)
def test_what_only_a_person_can_change_is_told_with_the_provider_its_words_and_the_next_step(
        tmp_path: Path, kind: str, status: int, body: Any, cause: str, step: str) -> None:
    with served(lambda handler, _: handler.answer(body, status)) as upstream, side(tmp_path, {PATHS[kind][0]: upstream.url}) as gateway:
        assert ask(gateway, kind) == status
        trouble = gateway.service.trouble()
        assert isinstance(trouble, ProviderRefused) and f"({PATHS[kind][0]} at 127.0.0.1)" in trouble.sentence
        assert cause in trouble.sentence and step in trouble.sentence and gateway.service.usage()["rate_limited"] is None
        inner = body[0] if isinstance(body, list) else body
        said = inner.get("error", inner) if isinstance(inner, dict) else {}
        assert (said if isinstance(said, str) else said.get("message", said.get("detail", ""))) in trouble.sentence


OWN = [  # failures of the agent's own request, however much they look like something else
    ("anthropic", 400, anthropic("invalid_request_error", "prompt is too long: 429013 tokens > 200000 maximum")),
    ("chat", 400, openai("context_length_exceeded", "This model's maximum context length is 128000 tokens, not 529000.")),
    ("responses", 400, openai(None, "Invalid input: 'rate limit 429 overloaded insufficient_quota, your credit balance is too low'", param="input")),
    ("responses", 404, openai(None, "Item with id 'rs_1' not found.", param="input")),
    ("responses", 400, openai("previous_response_not_found", "Previous response with id 'r' not found.", param="previous_response_id")),
    ("chat", 413, openai("rate_limit_exceeded", "Request too large for model `m`: Limit 6000, Requested 429000", "tokens")),
    ("gemini", 400, {"error": {"code": 400, "message": "The input token count (1529000) exceeds the maximum", "status": "INVALID_ARGUMENT"}}),
    ("chat", 422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "429"}]}),
]


@pytest.mark.parametrize(("kind", "status", "body"), OWN)
def test_words_and_numbers_in_a_message_make_no_wait_and_no_refusal(tmp_path: Path, kind: str, status: int, body: Any) -> None:
    with served(lambda handler, _: handler.answer(body, status)) as upstream, side(tmp_path, {PATHS[kind][0]: upstream.url}) as gateway:
        assert (ask(gateway, kind), gateway.service.trouble()) == (status, None)


WAITS = [
    ("chat", 429, openai("rate_limit_exceeded", "Rate limit reached for m on requests per min (RPM).", "requests"), 0.0),
    ("chat", 503, openai(None, "The engine is currently overloaded", "server_error"), 0.0), ("chat", 429, b"", 0.0), ("chat", 529, {}, 0.0),
    ("chat", 500, openai("overloaded", "Overloaded", "api_error"), 0.0), ("anthropic", 529, anthropic("overloaded_error", "Overloaded"), 0.0),
    ("anthropic", 429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit"), 0.0),
    ("anthropic", 500, anthropic("overloaded_error", "Overloaded"), 0.0),
    ("gemini", 429, quota_of("GenerateContentInputTokensPerModelPerMinute-FreeTier", "33s"), 33.0),
    ("chat", 429, [quota_of("GenerateRequestsPerMinutePerProjectPerModel", "1.5s")], 1.5),
    ("gemini", 503, {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}, 0.0),
]


@pytest.mark.parametrize(("kind", "status", "body", "wait"), WAITS)
def test_a_busy_provider_is_a_wait_as_long_as_it_says(tmp_path: Path, kind: str, status: int, body: Any, wait: float) -> None:
    with served(lambda handler, _: handler.answer(body, status)) as upstream, side(tmp_path, {PATHS[kind][0]: upstream.url}) as gateway:
        ask(gateway, kind)
        trouble = gateway.service.trouble()
        assert isinstance(trouble, RateLimited) and trouble.extra["wait"] == wait
        assert gateway.service.usage()["rate_limited"] == {"shape": PATHS[kind][0], "status": status, "wait": wait}


@pytest.mark.parametrize(("header", "words"), [("1", "for 1 second ("), ("90", "for 90 seconds"),
                                               ("600", "for 10 minutes"), ("7200", "for 2 hours"), ("259200", "for 3 days")])
def test_a_long_wait_is_told_as_it_was_asked_for(tmp_path: Path, header: str, words: str) -> None:
    with served(lambda handler, _: handler.answer({}, 429, Retry_After=header)) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        ask(gateway, "chat")
        trouble = gateway.service.trouble()
        assert trouble is not None and words in trouble.sentence and trouble.extra["wait"] == float(header)


BEGUN = {"chat": [{"choices": [{"delta": {"content": "Hel"}}]}],
         "responses": [{"type": "response.created", "response": {"status": "in_progress", "error": None}}],
         "anthropic": [{"type": "message_start", "message": {"usage": {"input_tokens": 5}}}], "gemini": [{"candidates": []}], "gemini array": []}


def failed(code: str, message: str = "") -> dict:
    return {"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": message}}}


WITHIN = [
    ("responses", failed("server_is_overloaded", "Our servers are currently overloaded."), RateLimited, "status 503"),
    ("responses", failed("rate_limit_exceeded", "Slow down"), RateLimited, "status 429"),
    ("responses", {"type": "error", "code": "slow_down", "message": "Too fast"}, RateLimited, "status 503"),
    ("responses", {"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "x"}}, RateLimited, "status 429"),
    ("responses", failed("server_error"), Transient, "status 500"), ("responses", failed("insufficient_quota", "No quota"), ProviderRefused, "No quota"),
    ("responses", failed("context_length_exceeded", "429 529 overloaded"), None, ""),
    ("anthropic", anthropic("overloaded_error", "Overloaded"), RateLimited, "“Overloaded”"),
    ("anthropic", anthropic("rate_limit_error", "x"), RateLimited, "status 429"), ("anthropic", anthropic("api_error", "x"), Transient, "status 500"),
    ("anthropic", anthropic("billing_error", "Pay"), ProviderRefused, "quota or credit"),
    ("anthropic", anthropic("authentication_error", "x"), ProviderRefused, "does not accept the key"),
    ("anthropic", anthropic("invalid_request_error", "too long: 429013"), None, ""),
    ("gemini", {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}, RateLimited, "status 503"),
    ("gemini", {"error": {"code": 500, "message": "An internal error", "status": "INTERNAL"}}, Transient, "status 500"),
    ("gemini array", {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}, RateLimited, "status 503"),
    ("gemini array", quota_of("RequestsPerMinute", "7s"), RateLimited, "for 7 seconds"),
    ("chat", {"error": {"message": "Overloaded", "type": "overloaded_error", "code": None}}, RateLimited, "status 503"),
    ("chat", {"error": {"message": "Rate limit", "code": 429}}, RateLimited, "status 429"),
    ("chat", {"error": {"message": "Rate limit", "code": "429"}}, RateLimited, "status 429"),
    ("chat", {"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "Upstream"}}]}, Transient, "status 502"),
    ("chat", {"object": "error", "message": "busy", "type": "service_unavailable", "code": 503}, RateLimited, "status 503"),
    ("chat", {"error": {"message": "gone"}}, Transient, "status 500"), ("chat", {"error": {"code": 402, "message": "Pay"}}, ProviderRefused, "Pay"),
    ("chat", {"error": {"message": "bad", "type": "BadRequestError", "code": 400}}, None, ""),
]


@pytest.mark.parametrize(("kind", "event", "failure", "words"), WITHIN)
def test_an_error_inside_a_good_answer_means_what_its_status_would(tmp_path: Path, kind: str, event: dict, failure: type | None, words: str) -> None:
    def reply(handler: Handler, body: Any) -> None:
        handler.answer([{"candidates": []}, event]) if kind == "gemini array" else handler.stream([*BEGUN[kind], event])

    with served(reply) as upstream, side(tmp_path, {PATHS[kind][0]: upstream.url}) as gateway:
        assert ask(gateway, kind) == 200
        gateway.usage()
        trouble = gateway.service.trouble()
        assert (type(trouble) if trouble else None) is failure and words in (trouble.sentence if trouble else "")
        until(gateway.requests)
        assert "as status" in gateway.requests()[0]["why"]


def test_an_error_in_a_reply_that_does_not_stream_is_seen_too(tmp_path: Path) -> None:
    for number, body in enumerate(({"error": {"code": 503, "message": "Busy"}}, {"status": "failed", "error": {"code": "server_is_overloaded"}})):
        with served(lambda handler, _, body=body: handler.answer(body)) as upstream, side(tmp_path, {"openai": upstream.url}, run=f"r{number}") as gateway:
            ask(gateway, "responses", stream=False)
            assert isinstance(until(gateway.service.trouble), RateLimited)


def test_a_key_that_a_stream_repeats_is_in_no_sentence(tmp_path: Path) -> None:
    with served(lambda handler, _: handler.stream([failed("insufficient_quota", f"for {KEY}")])) as upstream:
        with side(tmp_path, {"openai": upstream.url}) as gateway:
            ask(gateway, "responses")
            assert "[redacted]" in str(until(gateway.service.trouble))


def test_an_upstream_that_breaks_off_within_a_stream_is_trouble_that_passes(tmp_path: Path) -> None:
    def cut(handler: Handler, body: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"f\r\ndata: {\"a\": 1}\n\r\n40\r\ndata")

    with served(cut) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        with pytest.raises(AssertionError):
            ask(gateway, "chat")
        assert type(until(gateway.service.trouble)) is Transient


def test_the_last_answer_counts_and_a_request_that_costs_nothing_does_not_speak_for_the_model(tmp_path: Path) -> None:
    answers: list[tuple[int, Any]] = []

    def reply(handler: Handler, body: Any) -> None:
        status, value = answers[-1]
        handler.answer(value, status)

    with served(reply) as upstream, side(tmp_path, {"openai": upstream.url, "anthropic": upstream.url}) as gateway:
        def after(status: int, value: Any, method: str = "POST", path: str = PATHS["chat"][1]) -> str:
            answers.append((status, value))
            gateway.ask(path, {"model": "m", "messages": []} if method == "POST" else None, method)
            return type(gateway.service.trouble()).__name__

        assert after(404, {}, "GET", "/openai/v1/models") == after(404, {}, path="/anthropic/v1/messages/count_tokens") == "NoneType"
        assert after(401, {}, "GET", "/openai/v1/models") == "ProviderRefused"  # there is no better word of the provider yet
        assert after(429, {}) == "RateLimited" and after(200, {}, "GET", "/openai/v1/models") == "RateLimited"
        assert after(200, GOOD) == "NoneType"
        gateway.usage(1)
        assert after(404, openai("model_not_found", "no small model")) == "NoneType"  # a second model, which need not be there
        assert after(429, {}, path="/anthropic/v1/messages/count_tokens") == "NoneType"
        assert after(400, openai(None, "bad")) == "NoneType" and after(529, {}) == "RateLimited" and after(400, openai(None, "bad")) == "NoneType"
        assert after(429, openai("insufficient_quota", "x")) == "ProviderRefused"


@pytest.mark.parametrize(("status", "body"), [
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}), (400, openai(None, "Unknown parameter: 'stream_options'.")),
    (400, openai(None, "Unrecognized request argument supplied: stream_options")), (422, {"detail": "Extra inputs are not permitted"}),
    (400, {"message": "extra fields not permitted"}), (400, {"error": "json: unknown field \"stream_options\""})])
def test_stream_options_are_taken_back_where_a_server_refuses_them_and_tokens_are_estimated(tmp_path: Path, status: int, body: Any) -> None:
    def strict(handler: Handler, asked: Any) -> None:
        handler.answer(body, status) if "stream_options" in asked else chat(handler, asked)

    with served(strict) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        assert [gateway.chat(stream=True).status for _ in range(3)] == [200] * 3
        assert ["stream_options" in each.body for each in upstream.seen] == [True, False, False, False]
        usage = gateway.usage(3)
        assert (usage["requests"], usage["estimated"]) == (3, 3) and usage["output"] > 0 and gateway.service.trouble() is None
        own = gateway.chat(stream=True, stream_options={"include_usage": True})  # of the agent's own: not for the gateway to take back
        assert own.status == status and len(upstream.seen) == 5


def test_other_errors_of_a_request_with_stream_options_are_passed_on_at_once(tmp_path: Path) -> None:
    with served(lambda handler, body: handler.answer(openai(None, "The messages are empty."), 400)) as upstream:
        with side(tmp_path, {"openai": upstream.url}) as gateway:
            assert (gateway.chat(stream=True).status, len(upstream.seen)) == (400, 1)
    with served(lambda handler, body: handler.answer({"detail": "Extra inputs are not permitted: x"}, 422)) as upstream:
        with side(tmp_path, {"openai": upstream.url}, run="run-2") as gateway:
            assert (gateway.chat(stream=True).status, gateway.chat(stream=True).status) == (422, 422)
            assert ["stream_options" in each.body for each in upstream.seen] == [True, False, True, False]  # they were not at fault


def of_chat(prompt: int, output: int, total: int | None, reasoning: int | None, **more: Any) -> dict:
    details = {} if reasoning is None else {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    return {"prompt_tokens": prompt, "completion_tokens": output, **({} if total is None else {"total_tokens": total}), **details, **more}


def of_responses(prompt: int, output: int, total: int, reasoning: int, **more: Any) -> dict:
    return {"input_tokens": prompt, "output_tokens": output, "total_tokens": total, "output_tokens_details": {"reasoning_tokens": reasoning}, **more}


@pytest.mark.parametrize(("kind", "usage", "tokens"), [
    ("chat", of_chat(10120, 1499, 14428, 2809), (10120, 4308, 0)),                       # beside the completion
    ("chat", of_chat(10120, 4308, 14428, 2809), (10120, 4308, 0)),                       # within it, as OpenAI counts
    ("chat", of_chat(100, 10, None, 90), (100, 100, 0)),                                 # more than there is in the completion
    ("chat", of_chat(100, 90, None, 10), (100, 90, 0)), ("chat", of_chat(100, 10, 110, 0), (100, 10, 0)), ("chat", of_chat(100, 10, 500, None), (100, 10, 0)),
    ("chat", of_chat(100, 10, 140, 30, prompt_tokens_details={"cached_tokens": 20}), (80, 40, 20)),
    ("chat", of_chat(100, 10, 110, 5, prompt_tokens_details={"cached_tokens": 20}), (80, 10, 20)),
    ("responses", of_responses(100, 10, 140, 30), (100, 40, 0)), ("responses", of_responses(100, 40, 140, 30), (100, 40, 0)),
    ("responses", of_responses(100, 10, 140, 30, input_tokens_details={"cached_tokens": 60}), (40, 40, 60))])
def test_reasoning_tokens_are_counted_wherever_a_provider_puts_them(tmp_path: Path, kind: str, usage: dict, tokens: tuple) -> None:
    events = [{"choices": [], "usage": usage}] if kind == "chat" else [{"type": "response.completed", "response": {"usage": usage}}]
    for stream in (True, False):
        def reply(handler: Handler, body: Any, stream: bool = stream) -> None:
            handler.stream(events) if stream else handler.answer({"usage": usage})

        with served(reply) as upstream, side(tmp_path, {"openai": upstream.url}, run=f"run-{stream}") as gateway:
            ask(gateway, kind, stream=stream)
            used = gateway.usage()
            assert (used["input"], used["output"], used["cache_read"], used["estimated"]) == (*tokens, 0)


def test_a_provider_that_cannot_be_reached_and_one_that_redirects(tmp_path: Path) -> None:
    with side(tmp_path, {"openai": f"http://127.0.0.1:{unused_port()}"}) as gateway:
        ask(gateway, "chat")
        assert type(gateway.service.trouble()) is Transient
    with served(lambda handler, body: handler.answer({}, 307, Location="/elsewhere")) as upstream:
        with side(tmp_path, {"openai": upstream.url}, run="r2") as gateway:
            assert ask(gateway, "chat") == 502
            assert "SWARM_OPENAI_URL" in str(gateway.service.trouble())
