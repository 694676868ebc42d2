"""What the gateway does not take: messages that two readers could understand differently, or that never end."""
import socket
import threading
import time
from pathlib import Path

import pytest
from conftest import until
from gateway_side import read_reply, side
from hypothesis import given, settings
from hypothesis import strategies as st
from model_upstream import served

from engine.gateway.http1 import Gone, Head, Refusal, Wire, body, length_of, read_head

START = b"POST /openai/v1/responses HTTP/1.1\r\nHost: x\r\n"
GOOD = b'{"model": "m"}'                  # what would be forwarded, were it not for the head
CHUNKED = b"e\r\n" + GOOD + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(("data", "status"), [
    (START + b"Content-Length: 14\r\nContent-Length: 14\r\n\r\n" + GOOD, 400),
    (START + b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED, 400),
    (START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED, 400),
    (START + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED, 400), (START + b"Content-Length: +14\r\n\r\n" + GOOD, 400),
    (START + b"Content-Length: 0xe\r\n\r\n" + GOOD, 400), (START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    (START + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400), (START + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED, 400),
    (START + b" folded: x\r\n\r\n", 400), (START + b"A: b\nC: d\r\n\r\n", 400), (START + b"A: b\rC: d\r\n\r\n", 400),
    (START + b"A: \x00\r\n\r\n", 400),
    (b"POST  /openai/v1/responses HTTP/1.1\r\n\r\n", 400), (b"POST /openai HTTP/2.0\r\n\r\n", 400), (b"\x16\x03\x01\r\n\r\n", 400),
    (b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED, 404), (START + b"Expect: other\r\n\r\n", 417),
    (START + b"A: " + b"b" * 17_000 + b"\r\n\r\n", 431), (START + b"".join(b"A%d: b\r\n" % n for n in range(101)) + b"\r\n", 431),
    (START + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", 415)])
def test_a_request_that_could_be_read_in_two_ways_reaches_no_upstream(tmp_path: Path, data: bytes, status: int) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        assert gateway.raw(data.replace(b"Host: x", b"Host: x\r\nAuthorization: Bearer " + gateway.token.encode())).status == status
        assert upstream.seen == []


def test_what_follows_the_request_on_its_connection_is_not_read_as_another(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        one = (f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\nContent-Length: 14\r\n\r\n"
               '{"model": "m"}').encode()
        reply = gateway.raw(one + one)
        assert (reply.status, len(upstream.seen), reply.headers["connection"]) == (200, 1, "close")


def test_a_chunked_request_and_expect_continue_are_understood(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway, gateway.connect() as sock:
        sock.sendall(f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
                     "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".encode())
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'7;x=y\r\n{"model\r\n7\r\n": "m"}\r\n0\r\nTrailer: x\r\n\r\n')
        assert read_reply(sock).status == 200
        assert upstream.seen[0].body == {"model": "m"} and "trailer" not in upstream.seen[0].headers


def test_a_head_that_drips_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET / HT")
        began = time.monotonic()
        with pytest.raises(Gone):
            read_head(Wire(ours, began + 60), request=True, seconds=0.3)
        assert time.monotonic() - began < 50


def test_more_connections_than_allowed_are_closed_at_once(tmp_path: Path) -> None:
    with side(tmp_path) as gateway:
        held = [gateway.connect() for _ in range(128)]
        try:
            for sock in held:
                sock.sendall(b"G")
            until(lambda: sum(thread.name == "gateway connection" for thread in threading.enumerate()) == 128)
            with gateway.connect() as one_more:
                assert one_more.recv(1) == b""
        finally:
            for sock in held:
                sock.close()


def _read(data: bytes, request: bool) -> Head | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        wire = Wire(ours, time.monotonic() + 5)
        head = read_head(wire, request)
        if head is not None:
            for _ in body(wire, length_of(head, head.start[2] if request else head.start[0], to_the_end=not request)):
                pass
        return head


PIECES = st.sampled_from([b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"GET / HTTP/1.1", b"HTTP/1.1 200 OK",
                          b"Transfer-Encoding: chunked", b"Content-Length: 3", b"\x00", b"abc", b"0", b"3", b"A: b", b"\xff", b";", b"\r\n\r\n"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30).map(b"".join), st.booleans())
def test_whatever_bytes_come_they_are_a_message_or_refused(data: bytes, request_side: bool) -> None:
    try:
        head = _read(data, request_side)
    except (Refusal, Gone):
        return
    if head is not None:
        assert all("\r" not in value and "\n" not in value and "\0" not in value for _, value in head.fields)
        assert len(head.all("content-length")) + len(head.all("transfer-encoding")) <= 1
