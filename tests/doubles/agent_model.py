"""A model that plays a script to real coding agents, in whichever of the four kinds of API they speak.

    with served(Script([{"shell": "echo hi > a.txt"}, {"say": "Done."}])) as upstream: …

It keeps no conversation: which step comes next is told by the results of tools since the last words of a person in the request. Steps:
{"shell": command} by the client's own shell tool, {"say": text} to end, {"status": 429, "headers": {…}, "error": {"code": …}}, {"hang": seconds}."""
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from model_upstream import Handler

SHELLS = ("bash", "exec_command", "shell_command", "shell", "local_shell", "run_shell_command")
SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
Step = dict[str, Any]


class Script:
    """steps: of every prompt, or [(words, steps)]: of the first whose words are in what a person said. first: steps that come before
    everything, one a request: a provider that fails at first."""

    def __init__(self, steps: list[Any], first: list[Step] | None = None) -> None:
        self.scenes: list[tuple[str, list[Step]]] = steps if isinstance(steps[0], tuple) else [("", steps)]
        self.first, self.lock = list(first or []), threading.Lock()
        self.prompts: list[str] = []

    def __call__(self, handler: Handler, body: Any) -> None:
        kind = next((name for end, name in (("/messages", "messages"), ("/responses", "responses"), ("/chat/completions", "chat")) if
                     handler.path.partition("?")[0].endswith(end)), "gemini" if "enerateContent" in handler.path else "")
        if not kind:
            handler.answer({"data": [], "models": []})
            return
        tool = _shell(body)
        with self.lock:
            step = self.first.pop(0) if self.first else self._step(kind, body, tool)
        if "hang" in step:
            time.sleep(step["hang"])
        elif "status" in step:
            handler.answer({"error": {"message": step.get("message", "the script fails here"), "type": "api_error", **step.get("error", {})},
                            "type": "error"}, step["status"],
                           **step.get("headers", {}))
        else:
            text, call = step.get("say", ""), (tool[0], _arguments(tool[1], step["shell"])) if "shell" in step and tool else None
            if SUBMIT in json.dumps(body) and tool and "say" in step:  # mini's way to end
                call = (tool[0], _arguments(tool[1], f"echo {SUBMIT}"))
            ANSWERS[kind](handler, body, text, call)

    def _step(self, kind: str, body: Any, tool: Any) -> Step:
        if tool is None:  # aider has no tools: what it is to edit stands in the answer. Otherwise it is a request beside the work
            edits = [steps[0] for _, steps in self.scenes if "SEARCH/REPLACE" in json.dumps(body)]
            return edits[0] if edits else {"say": "A title"}
        prompt, results = READERS[kind](body)
        if results == 0:
            self.prompts.append(prompt)
        steps = next((steps for words, steps in self.scenes if words in prompt), [{"say": "Nothing to do."}])
        return steps[min(results, len(steps) - 1)]


def _shell(body: Any) -> tuple[str, dict] | None:
    """The name and the schema of the client's shell tool."""
    found = {}
    for tool in body.get("tools") or []:
        for each in tool.get("functionDeclarations") or [tool]:
            what = each.get("function") or each
            found[str(what.get("name", "")).lower()] = (what.get("name"), what.get("parameters") or what.get("input_schema")
                                                        or what.get("parametersJsonSchema") or {})
    return next((found[name] for name in SHELLS if name in found), None)


def _arguments(schema: dict, command: str) -> dict:
    properties = schema.get("properties") or {}
    key = next((name for name in ("command", "cmd") if name in properties), "command")
    value: Any = ["sh", "-c", command] if properties.get(key, {}).get("type") == "array" else command
    return {**{name: "run it" for name in schema.get("required") or [] if name == "description"}, key: value}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content or [] if isinstance(part, dict))


def _spoken(text: str) -> str:
    """What a client adds to a person's words is not theirs."""
    return re.sub(r"<(system-reminder|session_context|environment_context|user_instructions)>.*?</\1>", "", text, flags=re.DOTALL).strip()


def _fold(entries: Iterator[tuple[str, int]]) -> tuple[str, int]:
    """(what a person said last, results of tools since then) of [(spoken, results)]."""
    prompt, results = "", 0
    for spoken, count in entries:
        prompt, results = (spoken, 0) if spoken else (prompt, results + count)
    return prompt, results


def _chat(body: Any) -> tuple[str, int]:
    return _fold((_spoken(_text(m.get("content"))) if m["role"] == "user" else "", int(m["role"] == "tool")) for m in body["messages"])


def _responses(body: Any) -> tuple[str, int]:
    entries = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    return _fold((_spoken(_text(m.get("content"))) if m.get("role") == "user" else "", int(str(m.get("type", "")).endswith("_output"))) for m in entries)


def _messages(body: Any) -> tuple[str, int]:
    def entry(m: Any) -> tuple[str, int]:
        count = sum(part.get("type") == "tool_result" for part in m["content"]) if isinstance(m["content"], list) else 0
        return (_spoken(_text(m["content"])) if m["role"] == "user" and not count else "", count)
    return _fold(entry(m) for m in body["messages"])


def _gemini(body: Any) -> tuple[str, int]:
    def entry(m: Any) -> tuple[str, int]:
        count = sum("functionResponse" in part for part in m.get("parts", []))
        return (_spoken(_text(m.get("parts"))) if m.get("role", "user") == "user" and not count else "", count)
    return _fold(entry(m) for m in body["contents"])


def _answer_chat(handler: Handler, body: Any, text: str, call: Any) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    calls = [{"id": f"call_{time.monotonic_ns()}", "type": "function", "function": {"name": call[0], "arguments": json.dumps(call[1])}}] if call else []
    base, end = {"id": "chat-1", "created": 1, "model": body.get("model")}, "tool_calls" if call else "stop"
    if not body.get("stream"):
        message = {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}
        handler.answer({**base, "object": "chat.completion", "usage": usage, "choices": [{"index": 0, "message": message, "finish_reason": end}]})
        return
    delta = {"role": "assistant", "content": text, **({"tool_calls": [{"index": 0, **calls[0]}]} if calls else {})}
    chunk = {**base, "object": "chat.completion.chunk"}
    handler.stream([{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
                    {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]}, {**chunk, "choices": [], "usage": usage}, "[DONE]"])


def _answer_responses(handler: Handler, body: Any, text: str, call: Any) -> None:
    number = time.monotonic_ns()
    made: list[dict] = []
    if text:
        made.append({"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                     "content": [{"type": "output_text", "text": text, "annotations": []}]})
    if call:
        made.append({"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": call[0], "arguments": json.dumps(call[1]),
                     "status": "completed"})
    base = {"id": f"resp_{number}", "object": "response", "created_at": 1, "model": body.get("model")}
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 10, "total_tokens": 110,
             "output_tokens_details": {"reasoning_tokens": 0}}
    handler.stream([{"type": "response.created", "response": {**base, "status": "in_progress", "output": []}},
                    *({"type": "response.output_item.done", "output_index": place, "item": item} for place, item in enumerate(made)),
                    {"type": "response.completed", "response": {**base, "status": "completed", "output": made, "usage": usage}}])


def _answer_messages(handler: Handler, body: Any, text: str, call: Any) -> None:
    usage = {"input_tokens": 80, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20, "output_tokens": 10}
    blocks: list[tuple[dict, dict]] = [({"type": "text", "text": ""}, {"type": "text_delta", "text": text})] if text else []
    if call:
        blocks.append(({"type": "tool_use", "id": f"toolu_{time.monotonic_ns()}", "name": call[0], "input": {}},
                       {"type": "input_json_delta", "partial_json": json.dumps(call[1])}))
    message = {"id": f"msg_{time.monotonic_ns()}", "type": "message", "role": "assistant", "model": body.get("model"), "content": [], "usage": usage}
    events: list[dict] = [{"type": "message_start", "message": message}]
    for place, (start, delta) in enumerate(blocks):
        events += [{"type": "content_block_start", "index": place, "content_block": start},
                   {"type": "content_block_delta", "index": place, "delta": delta}, {"type": "content_block_stop", "index": place}]
    handler.stream([*events, {"type": "message_delta", "delta": {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None},
                              "usage": usage}, {"type": "message_stop"}])


def _answer_gemini(handler: Handler, body: Any, text: str, call: Any) -> None:
    parts: list[dict] = [{"text": text}] if text else []
    if call:
        parts.append({"functionCall": {"name": call[0], "args": call[1]}})
    full = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110}}
    if "stream" in handler.path:
        handler.stream([full])
    else:
        handler.answer(full)


READERS = {"chat": _chat, "responses": _responses, "messages": _messages, "gemini": _gemini}
ANSWERS = {"chat": _answer_chat, "responses": _answer_responses, "messages": _answer_messages, "gemini": _answer_gemini}
