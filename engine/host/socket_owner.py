"""Whose program is at the other end of a connection within this machine: the kernel knows, and nobody has to log in for that.

The answer comes from sock_diag(7), for the one connection; a kernel without it has the same in /proc/net/tcp and tcp6."""
import socket
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

Address = tuple[str, int]

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLMSG_ERROR = 4, 20, 2
NLM_F_REQUEST, ANY = 1, 0xFFFFFFFF
_HEAD = struct.Struct("=IHHII")             # nlmsghdr: length, type, flags, sequence, port
_ASK = struct.Struct("=BBBBI")              # inet_diag_req_v2: family, protocol, extensions, padding, states
_ID = struct.Struct("!HH16s16s")            # inet_diag_sockid: both ports and addresses; then interface and cookie
_ANSWER = struct.Struct("=BBBB48s5I")       # inet_diag_msg: family, state, timer, retransmissions, id, expires, queues, uid, inode
_V4_IN_V6 = bytes(10) + b"\xff\xff"
# States in which an end belongs to the program that made it. Not among them: 2 SYN_SENT, whose connection is still to come; 6 TIME_WAIT and
# 7 CLOSE, which nobody holds; 10 LISTEN, which the kernel may find in place of a connection that is gone.
HELD = {1, 4, 5, 8, 9, 11}

_seen = False  # sock_diag has found a connection in this process, so that "not found" means what it says


class Row(NamedTuple):
    """The kernel's row of one end of a connection."""

    state: int
    uid: int
    inode: int  # 0: its program has closed it, and the uid means nothing


def owner(connection: socket.socket) -> int | None:
    """The uid of the program at the other end, or None if the kernel does not say: it has closed the connection, or is not in our network namespace.

    connection: our end, as accepted."""
    if connection.family == socket.AF_UNIX:
        return int(struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
    try:
        row = find(connection.getsockname(), connection.getpeername())
        connection.getpeername()  # as long as our end is connected nobody else can have had these addresses and ports
    except OSError:
        return None
    return row.uid if row and row.inode and row.state in HELD and row.uid != _of_many() else None


@cache
def _of_many() -> int | None:
    """In a user namespace that does not have every uid: the one that stands for all that it has not. Without /proc the usual one."""
    try:
        if Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(ANY)]:
            return None
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    except OSError:
        return 65534


def find(here: Address, there: Address) -> Row | None:
    """The row of the end `there` of a connection to `here`, or None if the kernel lists none."""
    global _seen
    client, server = _packed(there), _packed(here)
    row, certain = _by_netlink(client, there[1], server, here[1])
    if row:
        _seen = True
    if row or (certain and _seen):
        return row
    return next(_listed(client, there[1], server, here[1]), None)


def _packed(address: Address) -> bytes:
    """4 bytes, or 16. An IPv4 connection of an IPv6 socket is one of IPv4 for the kernel."""
    host = address[0].partition("%")[0]
    if ":" not in host:
        return socket.inet_pton(socket.AF_INET, host)
    packed = socket.inet_pton(socket.AF_INET6, host)
    return packed[12:] if packed.startswith(_V4_IN_V6) else packed


def _by_netlink(client: bytes, client_port: int, server: bytes, server_port: int) -> tuple[Row | None, bool]:
    """-> (the row, whether None means that there is none). A kernel without sock_diag answers "not found", too."""
    family = socket.AF_INET if len(client) == 4 else socket.AF_INET6
    wanted = _ID.pack(client_port, server_port, client, server)
    ask = _ASK.pack(family, socket.IPPROTO_TCP, 0, 0, ANY) + wanted + struct.pack("=III", 0, ANY, ANY)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as kernel:
            kernel.send(_HEAD.pack(_HEAD.size + len(ask), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + ask)
            answer = kernel.recv(8192, socket.MSG_DONTWAIT)  # it answers before send() returns
    except OSError:
        return None, False
    _, kind, _, _, _ = _HEAD.unpack_from(answer)
    if kind != SOCK_DIAG_BY_FAMILY:
        return None, kind == NLMSG_ERROR
    _, state, _, _, found, _, _, _, uid, inode = _ANSWER.unpack_from(answer, _HEAD.size)
    listener = found[:4] != wanted[:4]  # what it finds where the connection is gone
    return (None if listener else Row(state, uid, inode)), True


def _listed(client: bytes, client_port: int, server: bytes, server_port: int) -> Iterator[Row]:
    """The same from /proc. An IPv4 connection stands in tcp, or in tcp6 if its program has a socket of IPv6."""
    wanted = []
    if len(client) == 4:
        wanted.append(("tcp", client, server))
        client, server = _V4_IN_V6 + client, _V4_IN_V6 + server
    for name, its, ours in (*wanted, ("tcp6", client, server)):
        ends = f" {_hex(its)}:{client_port:04X} {_hex(ours)}:{server_port:04X} "
        try:
            with open(f"/proc/self/net/{name}", encoding="ascii") as file:
                lines = [line.split() for line in file if ends in line]
        except OSError:
            continue  # no IPv6 in this kernel, or no /proc: then nothing is known, and who asks is refused
        for fields in lines:
            yield Row(int(fields[3], 16), int(fields[7]), int(fields[9]))


def _hex(address: bytes) -> str:
    """As /proc/net writes addresses: words of 4 bytes, as this machine's numbers."""
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(address) // 4}I", address))
