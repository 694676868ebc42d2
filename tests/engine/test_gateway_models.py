"""A run's way to its model: the paths that exist, the key that the agent never sees, replies that stream, tokens that are counted."""
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import HANG, require, until
from gateway_side import KEY, Side, read_reply, side
from model_upstream import Handler, certificate, chat, served, unused_port

ANTHROPIC = [{"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 50, "cache_read_input_tokens": 7,
                                                                            "cache_creation_input_tokens": 3, "output_tokens": 1}}},
             {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
             {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}, {"type": "message_stop"}]
RESPONSES = [{"type": "response.created", "response": {"usage": None}}, {"type": "response.output_text.delta", "delta": "Hello"},
             {"type": "response.completed", "response": {"usage": {"input_tokens": 60, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 5}}}]
GEMINI = [{"candidates": [{"content": {"parts": [{"text": "Hel"}]}}], "usageMetadata": {"promptTokenCount": 40, "candidatesTokenCount": 1}},
          {"candidates": [{"content": {"parts": [{"text": "lo"}]}}],
           "usageMetadata": {"promptTokenCount": 40, "candidatesTokenCount": 6, "thoughtsTokenCount": 2, "cachedContentTokenCount": 4}}]


def test_the_key_is_put_in_the_place_of_the_token_and_nothing_else_of_the_agents_credentials_goes_on(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url + "/base/v1"}) as gateway:
        reply = gateway.ask("/openai/v1/chat/completions?key=x&beta=true", {"model": "m", "messages": []}, x_api_key="mine", Cookie="a=b",
                            Accept_Encoding="gzip", OpenAI_Organization="other", X_Custom="kept", Connection="x-dropped", X_Dropped="1")
        assert (reply.status, reply.json["choices"][0]["message"]["content"]) == (200, "Hello")
        seen = upstream.seen[0]
        assert (seen.path, seen.headers["authorization"], seen.headers["accept-encoding"]) == ("/base/v1/chat/completions?beta=true",
                                                                                              f"Bearer {KEY}", "identity")
        assert {"x-api-key", "cookie", "openai-organization", "x-dropped"}.isdisjoint(seen.headers) and seen.headers["x-custom"] == "kept"
        assert gateway.token not in json.dumps([seen.headers, seen.path])


@pytest.mark.parametrize(("shape", "path", "where"), [
    ("openai", "/openai/v1/responses", {"Authorization": "Bearer {}"}), ("anthropic", "/anthropic/v1/messages?beta=true", {"x-api-key": "{}"}),
    ("anthropic", "/anthropic/v1/messages", {"Authorization": "Bearer {}"}),
    ("gemini", "/gemini/v1beta/models/m:generateContent", {"x-goog-api-key": "{}"}), ("gemini", "/gemini/v1beta/models/m:generateContent?key={}", {})])
def test_the_token_is_found_wherever_a_client_puts_its_key(tmp_path: Path, shape: str, path: str, where: dict[str, str]) -> None:
    def reply(handler: Handler, body: Any) -> None:
        handler.answer({"usage": {"input_tokens": 1, "output_tokens": 1}})

    with served(reply) as upstream, side(tmp_path, {shape: upstream.url}) as gateway:
        headers = {"Authorization": "", **{name: value.format(gateway.token) for name, value in where.items()}}
        assert gateway.ask(path.format(gateway.token), {"model": "m"}, **headers).status == 200
        own = {"openai": f"Bearer {KEY}", "anthropic": KEY, "gemini": KEY}[shape]
        header = {"openai": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}[shape]
        assert upstream.seen[0].headers[header] == own and gateway.token not in upstream.seen[0].path


def test_a_wrong_token_a_wrong_path_and_a_model_that_is_not_configured_are_refused_in_the_providers_words(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url + "/v1"}) as gateway:
        wrong = gateway.ask("/openai/v1/chat/completions", {"model": "m"}, token="sk-guess")
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "wrong_token")
        assert gateway.ask("/openai/v1/chat/completions", {"model": "m"}, token="").status == 401
        for path in ("/openai/v1/files", "/openai/v1/chat/completions/../files", "/openai/v1/models/a/b", "/openai//v1/models"):
            assert gateway.ask(path, {}).status == 404, path
        other = gateway.ask("/anthropic/v1/messages", {"model": "m"})
        assert (other.status, other.json["type"], other.json["error"]["type"]) == (404, "error", "not_found_error")
        assert gateway.ask("/metrics", {}).json["code"] == "no_such_path"
        assert gateway.ask("/openai/v1/chat/completions", method="DELETE").status == 404
        assert upstream.seen == []
        until(lambda: len(gateway.requests()) == 9)
        assert not any(line["allowed"] for line in gateway.requests())


@pytest.mark.parametrize(("shape", "path", "events", "tokens"), [
    ("openai", "/openai/v1/responses", RESPONSES, (50, 5, 10, 0)), ("anthropic", "/anthropic/v1/messages", ANTHROPIC, (50, 12, 7, 3)),
    ("gemini", "/gemini/v1beta/models/m:streamGenerateContent?alt=sse", GEMINI, (36, 8, 4, 0))])
def test_tokens_are_counted_as_the_reply_streams(tmp_path: Path, shape: str, path: str, events: list, tokens: tuple) -> None:
    with served(lambda handler, body: handler.stream(events)) as upstream, side(tmp_path, {shape: upstream.url}) as gateway:
        reply = gateway.ask(path, {"model": "m", "stream": True})
        assert reply.body.count(b"data: ") == len(events)
        usage = gateway.usage()
        assert (usage["input"], usage["output"], usage["cache_read"], usage["cache_write"], usage["estimated"]) == (*tokens, 0)
        assert usage["models"]["m"]["total"] == usage["total"] == sum(tokens)


def test_a_chat_stream_is_made_to_tell_its_usage(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        gateway.chat(stream=True, stream_options={"other": 1})
        assert upstream.seen[0].body["stream_options"] == {"other": 1, "include_usage": True}
        usage = gateway.usage()
        assert (usage["input"], usage["cache_read"], usage["output"], usage["estimated"]) == (80, 20, 10, 0)


def test_a_reply_that_does_not_tell_its_usage_is_estimated_high_and_marked(tmp_path: Path) -> None:
    words = [{"choices": [{"delta": {"content": "four"}}]}] * 30
    with served(lambda handler, body: handler.stream(words)) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        gateway.chat(messages=[{"role": "user", "content": "word " * 300}], stream=True)
        usage = gateway.usage()
        assert usage["estimated"] == 1 and 500 <= usage["input"] <= 600 and 30 <= usage["output"] <= 60


def test_events_are_passed_on_as_they_come_and_a_client_that_leaves_ends_the_request(tmp_path: Path) -> None:
    def endless(handler: Handler, body: Any) -> None:
        handler.stream(({"choices": [{"delta": {"content": str(n)}}]} for n in range(10_000)), 0.02)

    with served(endless) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        data = json.dumps({"model": "m", "messages": [], "stream": True}).encode()
        with gateway.connect() as sock:
            sock.sendall(f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
                         f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            got = b""
            while got.count(b"data: ") < 3:
                got += sock.recv(65536)
            assert b"9999" not in got
        assert upstream.hung_up.wait(HANG)
        assert gateway.usage()["estimated"] == 1


def test_a_client_that_leaves_while_its_model_is_silent_ends_the_request(tmp_path: Path) -> None:
    left = threading.Event()

    def think(handler: Handler, body: Any) -> None:
        if handler.rfile.read(1) == b"":
            left.set()

    with served(think) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        with gateway.connect() as sock:
            sock.sendall(f"POST /openai/v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
                         'Content-Length: 14\r\n\r\n{"model": "m"}'.encode())
            until(lambda: upstream.seen)
        assert left.wait(HANG)


@pytest.mark.parametrize("status", [401, 429, 500, 529])
def test_an_error_of_the_provider_is_passed_on_without_the_key_and_costs_nothing(tmp_path: Path, status: int) -> None:
    def refuse(handler: Handler, body: Any) -> None:
        handler.answer({"error": {"message": f"no, {handler.headers['Authorization']}"}}, status, Retry_After="7")

    with served(refuse) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        reply = gateway.chat()
        assert (reply.status, reply.headers["retry-after"], reply.json["error"]["message"]) == (status, "7", "no, Bearer [redacted]")
        trouble = gateway.service.trouble()
        wanted = {401: ("ProviderRefused", "SWARM_OPENAI_KEY"), 429: ("RateLimited", "7 seconds"), 529: ("RateLimited", "7 seconds"), 500: ("Transient", "500")}
        assert trouble is not None and (type(trouble).__name__, wanted[status][1] in trouble.sentence) == (wanted[status][0], True)
        assert gateway.service.usage()["total"] == 0
        assert (gateway.service.usage()["rate_limited"] or {}).get("wait") == (7.0 if status in (429, 529) else None)


def test_a_good_answer_after_a_rate_limit_clears_it(tmp_path: Path) -> None:
    def once(handler: Handler, body: Any) -> None:
        chat(handler, body) if len(handler.upstream.seen) > 1 else handler.answer({}, 429)

    with served(once) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        assert [gateway.chat().status, gateway.chat().status] == [429, 200]
        assert gateway.service.trouble() is None and gateway.usage()["rate_limited"] is None


def test_a_redirect_is_followed_by_nobody(tmp_path: Path) -> None:
    with served() as elsewhere, served(lambda handler, body: handler.answer({}, 307, Location=elsewhere.url + "/v1")) as upstream:
        with side(tmp_path, {"openai": upstream.url}) as gateway:
            reply = gateway.chat()
            assert (reply.status, reply.json["error"]["code"], "location" in reply.headers) == (502, "redirected", False)
        assert elsewhere.seen == []


def test_an_upstream_that_is_not_there_is_a_502_and_trouble_that_passes(tmp_path: Path) -> None:
    with side(tmp_path, {"openai": f"http://127.0.0.1:{unused_port()}"}) as gateway:
        assert (gateway.chat().status, type(gateway.service.trouble()).__name__) == (502, "Transient")


def test_an_upstream_that_stops_in_the_middle_ends_the_reply_and_what_it_cost_is_estimated(tmp_path: Path) -> None:
    def cut(handler: Handler, body: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"14\r\ndata: {\"choices\": []}")

    with served(cut) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        with pytest.raises(AssertionError, match="no end"):
            gateway.chat(stream=True)
        assert gateway.usage()["estimated"] == 1


def test_a_large_reply_goes_through_whole_and_a_large_request_is_refused(tmp_path: Path) -> None:
    reply = json.dumps({"text": "x" * 20_000_000}).encode()
    with served(lambda handler, body: handler.answer(reply)) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        assert gateway.chat().body == reply
        assert gateway.usage()["estimated"] == 1
        assert gateway.ask("/openai/v1/chat/completions", {"model": "m", "x": "y" * 33_000_000}).status == 413


def test_many_streams_at_once_are_all_counted(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        threads = [threading.Thread(target=gateway.chat, kwargs={"stream": True}) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
        usage = gateway.usage(30)
        assert (usage["requests"], usage["total"], usage["estimated"]) == (30, 30 * 110, 0)


def test_the_certificate_of_an_upstream_is_checked(tmp_path: Path) -> None:
    require("openssl")
    good, other = certificate(tmp_path, "localhost"), certificate(tmp_path, "elsewhere.example")
    with served(certificate=good) as upstream, served(certificate=other) as wrong:
        with side(tmp_path, {"openai": upstream.url}, authorities=str(good)) as gateway:
            assert gateway.chat(stream=True).status == 200
        with side(tmp_path, {"openai": upstream.url}, run="run-2") as gateway:
            assert gateway.chat().status == 502
        with side(tmp_path, {"openai": wrong.url}, run="run-3", authorities=str(other)) as gateway:
            assert gateway.chat().status == 502
        assert len(upstream.seen) == 1 and wrong.seen == []


def test_nothing_is_behind_a_door_without_models_and_a_closed_door_ends_what_is_under_way(tmp_path: Path) -> None:
    started = threading.Event()

    def hang(handler: Handler, body: Any) -> None:
        started.set()
        handler.rfile.read(1)

    with served(hang) as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        _check_door(gateway)
        with gateway.connect() as sock:
            data = b'{"model": "m"}'
            sock.sendall(f"POST /openai/v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
                         f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            assert started.wait(HANG)
            gateway.service.close(gateway.door)
            assert sock.recv(100) == b"" and not gateway.door.exists()


def _check_door(gateway: Side) -> None:
    import socket
    door = gateway.service.open(agent=False)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(door))
        sock.sendall(f"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode())
        assert read_reply(sock).status == 404
