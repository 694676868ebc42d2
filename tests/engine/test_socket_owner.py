"""Whose program is at the other end of a connection."""
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import until
from other_user import HOLD, OTHER, as_user, program, require_other_user

from engine.host import socket_owner
from engine.host.socket_owner import owner

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
HOSTS = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]

@pytest.fixture(params=["sock_diag", "/proc/net"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to ask the kernel; without sock_diag it answers as one that was built so."""
    if request.param == "/proc/net":
        monkeypatch.setattr(socket_owner, "NETLINK_SOCK_DIAG", 31)  # a netlink family that nobody serves
        monkeypatch.setattr(socket_owner, "_seen", False)
    else:
        monkeypatch.setattr(socket_owner, "_listed", lambda *_: iter(()))
    return str(request.param)


@contextmanager
def pair(host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the end of a client, the accepted end) of a connection to this host."""
    listens = host.rpartition("::ffff:")[2]
    with socket.create_server((listens, 0), family=FAMILIES[listens]) as listener, socket.socket(FAMILIES.get(host, socket.AF_INET6)) as client:
        client.connect((host, listener.getsockname()[1]))
        accepted, _ = listener.accept()
        with accepted:
            yield client, accepted


@pytest.mark.parametrize("host", HOSTS)
def test_it_is_the_user_whose_program_connected(source: str, host: str) -> None:
    with pair(host) as (client, accepted):
        assert owner(accepted) == os.geteuid()
        client.shutdown(socket.SHUT_WR)  # it has said all, and still waits for the answer
        assert owner(accepted) == os.geteuid()


@pytest.mark.parametrize("host", HOSTS)
def test_nobody_owns_what_was_closed(source: str, host: str) -> None:
    with pair(host) as (client, accepted):
        client.close()
        assert owner(accepted) is None


def test_nobody_owns_a_connection_that_was_reset_also_when_its_port_is_in_use_again(source: str) -> None:
    for _ in range(20):
        with pair("127.0.0.1") as (client, accepted):
            here, there = accepted.getsockname(), client.getsockname()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            assert owner(accepted) is None
            try:
                listener = socket.create_server(there)  # the row that the kernel finds where the connection was
            except OSError:  # another program has taken the port meanwhile
                continue
            with listener:
                assert socket_owner.find(here, there) is None
            return
    pytest.fail("each port was taken by other programs")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_another_user_is_told_from_ours(source: str, host: str) -> None:
    require_other_user()
    with socket.create_server((host, 0), family=FAMILIES[host]) as listener:
        with program(OTHER, HOLD, host, listener.getsockname()[1]) as running:
            accepted, _ = listener.accept()
            with accepted:
                assert owner(accepted) == OTHER
                running.kill()
                assert until(lambda: owner(accepted) is None)


ELSEWHERE = """
import array, fcntl, os, socket, struct, sys
with socket.socket() as plain:  # lo of a new network namespace is down
    fcntl.ioctl(plain, 0x8914, struct.pack("16sh22x", b"lo", 1))
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
accepted, _ = listener.accept()
with socket.socket(fileno=int(sys.argv[1])) as out:
    socket.send_fds(out, [b"x"], [accepted.fileno()])
    out.recv(1)
"""


def test_a_connection_of_another_network_namespace_belongs_to_nobody(source: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        running = subprocess.Popen(["unshare", "-Urn", sys.executable, "-I", "-c", ELSEWHERE, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                                   stderr=subprocess.PIPE)
        theirs.close()
        with running:
            _, received, _, _ = socket.recv_fds(ours, 1, 1)
            if not received:
                pytest.skip(f"no network namespaces here: {running.communicate()[1].decode()}")
            with socket.socket(fileno=received[0]) as accepted:
                assert accepted.getpeername()[0] == "127.0.0.1" and owner(accepted) is None
            ours.send(b"x")


def test_a_unix_socket_says_it_by_itself() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert owner(ours) == os.geteuid()


def test_in_a_user_namespace_the_uid_that_stands_for_all_others_is_nobodys() -> None:
    """There the connection of every user but one shows as the uid of nobody."""
    require_other_user()
    script = f"""
import sys, socket
sys.path.insert(0, {str(socket_owner.__file__).removesuffix("engine/host/socket_owner.py")!r})
from engine.host.socket_owner import owner, find
with socket.socket(fileno=int(sys.argv[1])) as accepted:
    print(find(accepted.getsockname(), accepted.getpeername()).uid, owner(accepted))
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with program(OTHER, HOLD, "127.0.0.1", listener.getsockname()[1]) as running:
            accepted, _ = listener.accept()
            with accepted:
                done: Any = subprocess.run(["unshare", "-Ur", sys.executable, "-c", script, str(accepted.fileno())], pass_fds=[accepted.fileno()],
                                           capture_output=True, text=True)
                running.kill()
    assert done.stdout.split() == ["65534", "None"], done.stderr


def test_the_helper_runs_as_another_user() -> None:
    require_other_user()
    assert as_user(OTHER, "print(os.getuid(), os.getgid(), os.getgroups())").split() == [str(OTHER), str(OTHER), "[]"]
