"""The host's end of a link believes a guest nothing: every rule that it breaks costs it the link, and no bytes of it anything else."""
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gateway.link import frames
from engine.gateway.link.frames import BrokenLink
from engine.gateway.link.mux import CREDIT, STREAMS, Mux


def frame(kind: int, stream: int, payload: bytes = b"", magic: int = frames.MAGIC, length: int | None = None) -> bytes:
    return frames.HEADER.pack(magic, kind, stream, len(payload) if length is None else length) + payload


class Hostile:
    """A host mux after the greeting, and the guest's end of its link, to be written to by hand."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.far: list[socket.socket] = []
        self.mux = Mux(self.ours.fileno(), connect=self._connect)
        self.mux.step(0)
        self.theirs.setblocking(False)
        greeting = self.theirs.recv(1 << 20)
        assert greeting[:frames.LONGEST] == bytes(frames.LONGEST)
        self.say(b"old bytes" + frame(frames.READY, 0, b"")[:5] + greeting[greeting.index(frames.MARK):])
        assert self.mux.link.ready

    def _connect(self) -> socket.socket:
        near, far = socket.socketpair()
        self.far.append(far)
        return near

    def say(self, data: bytes) -> None:
        self.theirs.setblocking(True)
        self.theirs.sendall(data)
        self.theirs.setblocking(False)
        for _ in range(3):
            self.mux.step(0)

    def close(self) -> None:
        self.mux.close()
        for sock in (self.ours, self.theirs, *self.far):
            sock.close()


@contextmanager
def hostile() -> Iterator[Hostile]:
    made = Hostile()
    try:
        yield made
    finally:
        made.close()


OPENED = frame(frames.OPEN, 7)


@pytest.mark.parametrize("data", [
    b"nonsense, not a frame", frame(frames.DATA, 7, b"x", magic=0), frame(99, 7), frame(0, 7), frame(frames.DATA, 7, b"", length=frames.LONGEST + 1),
    OPENED + OPENED, frame(frames.OPEN, 7, b"x"), frame(frames.OPEN, 0), frame(frames.HELLO, 0, frames.MARK + b"n" * 16), frame(frames.READY, 0),
    OPENED + frame(frames.DATA, 7), OPENED + frame(frames.EOF, 7) + frame(frames.DATA, 7, b"x"), OPENED + frame(frames.EOF, 7) * 2,
    OPENED + frame(frames.WINDOW, 7, struct.pack(">I", 1)), OPENED + frame(frames.WINDOW, 7, struct.pack(">I", 2**32 - 1)),
    OPENED + frame(frames.WINDOW, 7, b"x"), OPENED + frame(frames.EOF, 7, b"x")])
def test_a_guest_that_breaks_a_rule_loses_the_link(data: bytes) -> None:
    with hostile() as guest, pytest.raises(BrokenLink):
        guest.say(data)
        guest.say(b"")


def test_a_guest_that_sends_more_than_its_credit_loses_the_link() -> None:
    with hostile() as guest, pytest.raises(BrokenLink, match="credit"):
        guest.say(OPENED)
        for _ in range(1000):
            guest.say(frame(frames.DATA, 7, bytes(frames.LONGEST)))


def test_a_guest_that_never_reads_loses_the_link() -> None:
    with hostile() as guest, pytest.raises(BrokenLink, match="does not read"):
        guest.say(b"".join(frame(frames.OPEN, number) for number in range(1, STREAMS + 1)))
        refused = b"".join(frame(frames.OPEN, number) for number in range(1000, 10_000))
        for _ in range(100):
            guest.say(refused)


def test_late_frames_of_a_stream_that_is_gone_are_no_offence() -> None:
    with hostile() as guest:
        guest.say(OPENED)
        guest.far[0].close()
        guest.say(b"")
        guest.say(frame(frames.DATA, 7, b"late") * 3 + frame(frames.WINDOW, 7, struct.pack(">I", 5)) + frame(frames.EOF, 7) + frame(frames.CLOSE, 7))
        assert guest.mux.streams == {}


KINDS = st.sampled_from([frames.OPEN, frames.DATA, frames.EOF, frames.CLOSE, frames.WINDOW, frames.HELLO, frames.READY, 0, 9])
PAYLOADS = st.one_of(st.just(b""), st.binary(max_size=40), st.integers(0, CREDIT).map(lambda n: struct.pack(">I", n)))
FRAMES = st.builds(frame, KINDS, st.integers(0, 4), PAYLOADS)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(FRAMES, FRAMES, FRAMES, st.binary(max_size=30)), max_size=25), st.integers(1, 50))
def test_whatever_a_guest_sends_the_host_keeps_its_bounds_or_gives_up(pieces: list[bytes], cut: int) -> None:
    with hostile() as guest:
        data = b"".join(pieces)
        with suppress(BrokenLink):
            for place in range(0, len(data), cut):
                guest.say(data[place:place + cut])
                assert len(guest.mux.streams) <= STREAMS
                assert all(len(s.waiting) <= CREDIT and 0 <= s.may_come <= CREDIT and 0 <= s.may_send <= CREDIT for s in guest.mux.streams.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(FRAMES, st.binary(max_size=60)), max_size=20))
def test_whatever_was_on_the_link_a_guest_comes_back_with_the_next_greeting(pieces: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    with ours, theirs, listener:
        mux = Mux(ours.fileno(), listener=listener)
        nonce = os.urandom(16)
        theirs.sendall(b"".join(pieces) + bytes(frames.LONGEST + frames.HEADER.size + 1) + frame(frames.HELLO, 0, frames.MARK + nonce))
        for _ in range(5):
            mux.step(0)
        theirs.setblocking(False)
        assert theirs.recv(1 << 20).endswith(frame(frames.READY, 0, frames.MARK + nonce))
        assert mux.link.ready and mux.streams == {}
        mux.close()
