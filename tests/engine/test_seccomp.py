"""What bubblewrap's sandbox cannot ask of the host's kernel, and what it still can; the server's keys."""
import ctypes
import errno
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require
from sandbox_bench import Bench

from engine.config import ROOT
from engine.host import keyring
from engine.runtimes import bubblewrap, seccomp

PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin") or "/usr/bin/python3"  # of the system, which a sandbox has
MACHINE = os.uname().machine
HERE = {"x86_64": 0, "aarch64": 1}.get(MACHINE, 0)
NUMBERS = {name: numbers[HERE] for name, numbers in seccomp.DENIED.items() if len(numbers) > HERE}
HEADERS = {0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), 1: Path("/usr/include/asm-generic/unistd.h")}
ORDINARY = {"read": (0, 63), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "execve": (59, 221),
            "futex": (202, 98), "openat": (257, 56), "seccomp": (317, 277), "landlock_create_ruleset": (444, 444), "personality": (135, 92)}
SEARCH, READ = 10, 11
SESSION = -3


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the calls of syscalls.py gave in a sandbox."""
    require("bwrap")
    require(PYTHON)
    if MACHINE not in ("x86_64", "aarch64") or "Seccomp_filters:" not in Path("/proc/self/status").read_text():
        pytest.skip(f"no filter for {MACHINE}, or none in this kernel")
    bench = Bench("bubblewrap", tmp_path_factory.mktemp("calls"))
    (bench.inputs / "calls.json").write_text(json.dumps({"calls": NUMBERS, "unshare": seccomp.UNSHARE[HERE], "clone": seccomp.CLONE[HERE]}))
    shutil.copy(ROOT / "tests" / "doubles" / "syscalls.py", bench.inputs)
    code, said = bench.run(f"{PYTHON} $SWARM_IN/syscalls.py $SWARM_IN/calls.json")
    assert code == 0, said
    return json.loads(said)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_denied_call_is_as_if_this_kernel_did_not_have_it(inside: dict, name: str) -> None:
    assert inside[name] == "ENOSYS"


@pytest.mark.parametrize(("what", "result"), [
    ("unshare user", "EPERM"), ("unshare time", "EPERM"), ("clone user", "EPERM"), ("vsock", "EAFNOSUPPORT"), ("alg", "EAFNOSUPPORT")])
def test_no_new_namespaces_and_no_sockets_to_the_host(inside: dict, what: str, result: str) -> None:
    assert inside[what] == result


@pytest.mark.parametrize(("what", "result"), [
    ("unix", "ok"), ("inet", "ok"), ("inet6", "ok"), ("netlink", "ok"), ("unshare files", "ok"), ("thread", "ok"), ("child", 5), ("cancelled", "ENOSYS"),
    ("traced", [12, "of the child", 7])])
def test_what_ordinary_programs_and_debuggers_need_works(inside: dict, what: str, result: object) -> None:
    assert inside[what] == result


@pytest.mark.skipif(MACHINE != "x86_64", reason="other machines are tested by their program")
def test_calls_of_other_architectures_end_the_program(inside: dict) -> None:
    assert inside["x32"] == "SIGSYS"
    assert inside["i386"] in ("SIGSYS", "SIGSEGV")  # the second from a kernel without 32-bit programs


def test_the_lists_of_keys_are_empty(inside: dict) -> None:
    assert set(inside["keys"].values()) <= {""}


@pytest.mark.parametrize("filtered", [True, False])
def test_the_servers_keys_cannot_be_found_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtered: bool) -> None:
    """Also without the filter, because some machines have none."""
    require("bwrap")
    require(PYTHON)
    keyring.leave()
    name, keyctl = f"key-of-{os.getpid()}", keyring.KEYCTL[MACHINE]
    library = ctypes.CDLL(None, use_errno=True)
    add_key = seccomp.DENIED["add_key"][HERE]
    key = library.syscall(ctypes.c_long(add_key), b"user", name.encode(), b"of the server", ctypes.c_long(13), ctypes.c_long(SESSION))
    if key < 0:
        pytest.skip(f"no keys here: {os.strerror(ctypes.get_errno())}")
    if not filtered:
        monkeypatch.setattr(bubblewrap, "FILTER", None)
    bench = Bench("bubblewrap", tmp_path)
    (bench.inputs / "look.py").write_text(
        "import ctypes, errno\nlibrary, room = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(100)\n"
        f"for call in (({SEARCH}, {SESSION}, b'user', {name.encode()!r}, 0), ({READ}, {key}, room, 100)):\n"
        f"    found = library.syscall(ctypes.c_long({keyctl}), *(ctypes.c_long(v) if isinstance(v, int) else v for v in call))\n"
        "    print(errno.errorcode[ctypes.get_errno()] if found < 0 else found)\n"
        f"print({name!r} in open('/proc/keys').read())\n")
    with subprocess.Popen(["sleep", "1000"]) as keeper:  # it has the keyring too: the thread that starts a sandbox leaves it, and it would be gone
        try:
            _, said = bench.run(f"{PYTHON} $SWARM_IN/look.py")
            assert name in Path("/proc/keys").read_text(), "it is there outside"
        finally:
            keeper.kill()
    assert said.split() == (["ENOSYS", "ENOSYS"] if filtered else ["ENOKEY", "EACCES"]) + ["False"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_program_of_each_machine_denies_what_is_listed_and_nothing_else(machine: str) -> None:
    column, architecture = list(seccomp.ARCHITECTURES).index(machine), seccomp.ARCHITECTURES[machine]

    def result(number: int, argument: int = 0, of: int = architecture) -> int:
        return run(seccomp.program(machine) or b"", struct.pack("<IIQ6Q", number, of, 0, argument, 0, 0, 0, 0, 0))
    denied = {numbers[column] for numbers in seccomp.DENIED.values() if column < len(numbers)}
    special = {numbers[column] for numbers in (seccomp.SOCKET, seccomp.CLONE, seccomp.UNSHARE)}
    for number in range(600):
        expected = seccomp.FAIL | errno.ENOSYS if number in denied else seccomp.ALLOW
        assert number in special or result(number) == expected, number
    for name, numbers in ORDINARY.items():
        assert result(numbers[column]) == seccomp.ALLOW, name
    socket, clone, unshare = seccomp.SOCKET[column], seccomp.CLONE[column], seccomp.UNSHARE[column]
    assert [result(socket, family) for family in (1, 2, 10, 16, 38, 40)] == [seccomp.ALLOW] * 4 + [seccomp.FAIL | errno.EAFNOSUPPORT] * 2
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert result(clone, flag | 17) == result(unshare, flag) == seccomp.FAIL | errno.EPERM
    assert result(unshare, 0x80) == seccomp.FAIL | errno.EPERM
    assert result(clone, 0x3D0F00) == result(clone, 17) == result(unshare, 0x600) == seccomp.ALLOW, "threads, children"
    assert {result(1, of=other) for other in (0x40000003, 0x40000028, 0xC00000B7 ^ 0xC000003E ^ architecture)} == {seccomp.END}
    assert result(0x40000000 | 39) == (seccomp.END if machine == "x86_64" else seccomp.ALLOW)
    assert result(0xFFFFFFFF) == seccomp.ALLOW


@pytest.mark.parametrize("column", HEADERS)
def test_the_numbers_are_those_of_the_kernels_headers(column: int) -> None:
    if not HEADERS[column].exists():
        pytest.skip(f"{HEADERS[column]} is not here")
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[column].read_text())}
    ours = {**seccomp.DENIED, **ORDINARY, "socket": seccomp.SOCKET, "clone": seccomp.CLONE, "unshare": seccomp.UNSHARE}
    assert {name: known[name] for name, numbers in ours.items() if name in known and column < len(numbers)} == {
        name: numbers[column] for name, numbers in ours.items() if name in known and column < len(numbers)}
    assert len(set(ours) & set(known)) > 50


def test_a_machine_without_a_filter_says_so_and_still_isolates() -> None:
    require("bwrap")
    assert seccomp.program("riscv64") is None
    program = ("import os, types; os.uname = lambda: types.SimpleNamespace(machine='riscv64')\nfrom engine.runtimes.bubblewrap import Bubblewrap as B\n"
               "print(B.isolation, B().probe())")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.endswith("the host's kernel is shared, and its system calls are not filtered (riscv64). None\n")
    assert bubblewrap.FILTER is None or bubblewrap.Bubblewrap.isolation.endswith("behind a filter of system calls.")


def run(program: bytes, data: bytes) -> int:
    """What the kernel would make of one call: an interpreter for the five instructions that the filter uses."""
    code, at, value = list(struct.iter_unpack("=HBBI", program)), 0, 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        if operation == seccomp.RETURN:
            return operand
        if operation == seccomp.LOAD:
            value = struct.unpack_from("<I", data, operand)[0]
        else:
            met = {seccomp.EQUAL: value == operand, seccomp.AT_LEAST: value >= operand, seccomp.ANY_BIT: bool(value & operand)}[operation]
            at += if_true if met else if_false
