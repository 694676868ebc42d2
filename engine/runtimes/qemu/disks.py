"""The disks of one VM: the inputs as a tar, and swap space. Sparse, of sizes that never change: a clone gets others in their place."""
import os
import shutil
import struct
from pathlib import Path
from typing import BinaryIO

from engine.errors import Permanent
from engine.runtimes.base import SandboxJob, limited, sandbox_paths
from engine.runtimes.qemu.result import BLOCK
from engine.text import quoted

INPUT_BYTES = 16 << 30
PAGE = 4096
IN, OUT, WORK, HOME = "/in", "/out", "/work", "/home/agent"
PORT = "/dev/virtio-ports/gateway"


def write_inputs(path: Path, job: SandboxJob | None) -> None:
    """/in as the guest is to see it, and what /run/swarm tells PID 1 there. Without a job: an empty disk. Raises Permanent if it is too large."""
    with open(path, "wb") as tar:
        os.chmod(path, 0o600)
        if job is not None:
            _add(tar, "run/swarm/command", 0o644, _command(job).encode("utf-8", "replace"))
            _add(tar, "run/swarm/limits", 0o600, f"work_bytes={job.limits.work_mb * 1_000_000}\n".encode())
            for folder, _, names in sorted(os.walk(job.inputs)):
                inside = Path("in", os.path.relpath(folder, job.inputs))
                _header(tar, f"{inside}/", 0o755, 0, b"5")
                for name in sorted(names):
                    _add_file(tar, str(inside / name), Path(folder, name))
            tar.write(bytes(2 * BLOCK))
            if tar.tell() > INPUT_BYTES:
                raise Permanent(f"The inputs of the run are larger than {INPUT_BYTES >> 30} GiB.")
        tar.truncate(INPUT_BYTES)


def write_swap(path: Path, megabytes: int) -> None:
    """An empty swap area, as mkswap makes it."""
    pages = megabytes * 1_000_000 // PAGE
    header = bytearray(PAGE)
    struct.pack_into("<III", header, 1024, 1, pages - 1, 0)
    header[PAGE - 10:] = b"SWAPSPACE2"
    with open(path, "wb") as file:
        os.chmod(path, 0o600)
        file.write(header)
        file.truncate(pages * PAGE)


def _command(job: SandboxJob) -> str:
    """What the agent's shell runs: the environment, then the command under its limits."""
    environment = {**sandbox_paths(job, IN, OUT, WORK, f"port:{PORT}"), "HOME": HOME, "TMPDIR": "/tmp", "USER": "agent", "LOGNAME": "agent",
                   "PATH": "/usr/local/bin:/usr/bin:/bin"}
    lines = [f"export {name}={quoted(value)}" for name, value in environment.items()]
    return "\n".join([*lines, "exec " + " ".join(map(quoted, limited(job.command, job.limits, job.limits.processes))), ""])


def _add(tar: BinaryIO, name: str, mode: int, data: bytes) -> None:
    _header(tar, name, mode, len(data), b"0")
    tar.write(data + bytes(-len(data) % BLOCK))


def _add_file(tar: BinaryIO, name: str, path: Path) -> None:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        _header(tar, name, 0o444 | status.st_mode & 0o111, status.st_size, b"0")
        shutil.copyfileobj(file, tar, 1 << 20)
        tar.write(bytes(-status.st_size % BLOCK))


def _header(tar: BinaryIO, name: str, mode: int, size: int, kind: bytes) -> None:
    encoded = name.encode()
    if len(encoded) > 100:
        raise Permanent(f"The input {name!r} has too long a name.")
    fields = struct.pack("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x", encoded, b"%07o" % mode, b"%07o" % 0, b"%07o" % 0, b"%011o" % size,
                         b"%011o" % 0, b" " * 8, kind, b"", b"ustar\00000", b"", b"", b"", b"", b"")
    tar.write(fields[:148] + b"%06o\0 " % sum(fields) + fields[156:])
