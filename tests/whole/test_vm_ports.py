"""What a guest says is heard with suspicion, without any machine: the test is the guest."""
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, until

from engine.runtimes.qemu.ports import LONGEST_LINE, MOST_LINES, RESULT_BYTES, Ports


class Guest:
    """child stands for the machine: it must be ended when the guest breaks a rule."""

    def __init__(self, folder: Path, answer: bool = True) -> None:
        self.ports, self.result = Ports(folder / "result", answer), folder / "result"
        self.child = subprocess.Popen(["sleep", "600"])
        self.ends = {name: socket.socket(fileno=os.dup(number)) for name, number in self.ports.ends.items()}
        self.ports.close_ends()
        self.ports.serve(self.child)

    def say(self, *lines: str) -> None:
        self.ends["talk"].sendall("".join(line + "\n" for line in lines).encode())

    def hear(self) -> str:
        self.ends["talk"].settimeout(HANG)
        return self.ends["talk"].recv(1000).decode()

    def end(self) -> int:
        code = self.child.wait(HANG)
        self.leave()
        return code

    def leave(self) -> None:
        for end in self.ends.values():
            end.close()
        self.ports.join()
        self.child.kill()
        self.child.wait()


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    made = Guest(tmp_path)
    yield made
    made.leave()


def test_a_guest_is_woken_given_time_and_seed_and_ended_when_it_is_done(guest: Guest) -> None:
    assert guest.hear() == "wake\n"
    guest.say("ready", "awake")
    word, seconds, seed = guest.hear().split()
    assert word == "go" and float(seconds) > 1_700_000_000 and len(bytes.fromhex(seed)) == 64
    guest.say("begin", "full work", "exit 3")
    assert guest.end() == -9
    assert (guest.ports.heard.code, guest.ports.heard.full, guest.ports.heard.wrong) == (3, ["work"], None)


def test_two_guests_are_given_different_seeds(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Guest(tmp_path / "other")
    seeds = set()
    for each in (guest, other):
        each.hear()
        each.say("awake")
        seeds.add(each.hear().split()[2])
    other.leave()
    assert len(seeds) == 2


@pytest.mark.parametrize("lines", [
    ["exit 0"], ["awake", "exit 0"], ["awake", "begin", "exit -1"], ["awake", "begin", "exit 256"], ["awake", "begin", "exit ٣"],
    ["awake", "begin", "begin"], ["begin"], ["awake", "awake"], ["hello"], [""], ["full work"]])
def test_a_guest_that_says_what_none_says_loses_its_machine(guest: Guest, lines: list[str]) -> None:
    guest.say(*lines)
    assert guest.end() == -9
    assert guest.ports.heard.wrong and guest.ports.heard.code is None


@pytest.mark.parametrize("flood", [b"x" * (LONGEST_LINE + 1), b"full work\n" * (MOST_LINES + 1)], ids=["a line without end", "lines without end"])
def test_a_guest_that_talks_too_much_loses_its_machine(guest: Guest, flood: bytes) -> None:
    guest.say("awake", "begin")
    guest.ends["talk"].sendall(flood)
    assert guest.end() == -9
    assert guest.ports.heard.wrong == "it talked too much"


def test_a_result_without_end_ends_the_machine_and_the_host_keeps_no_more_than_the_limit(guest: Guest) -> None:
    piece, sent = bytes(1 << 20), 0
    guest.ends["out"].settimeout(HANG)
    while guest.child.poll() is None and sent < 2 * RESULT_BYTES:
        guest.ends["out"].sendall(piece)
        sent += len(piece)
    assert guest.end() == -9
    assert guest.ports.heard.too_much and guest.result.stat().st_size <= RESULT_BYTES


def test_of_a_talkative_kernel_only_the_last_words_are_kept(guest: Guest) -> None:
    for _ in range(100):
        guest.ends["console"].sendall(b"noise " * 10_000)
    guest.ends["console"].sendall(b"Kernel panic - not syncing: test")
    until(lambda: guest.ports.heard.console.endswith(b"test"))
    assert len(guest.ports.heard.console) <= 8192


def test_a_template_is_left_waiting(tmp_path: Path) -> None:
    made = Guest(tmp_path, answer=False)
    made.say("ready")
    assert made.ports.wait("ready", HANG) and made.ports.wait("awake", 0.1) is False
    made.ends["talk"].setblocking(False)
    with pytest.raises(BlockingIOError):
        made.ends["talk"].recv(100)
    made.leave()
