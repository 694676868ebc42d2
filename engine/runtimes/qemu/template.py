"""Templates: one VM is booted to the point where it waits for a job, and saved; every later one goes on from there, copy on write.

    data/images/<name>/templates/<key>/  memory  state  template.json       never changed once it is there
                                 <key>.lock  <key>.failed                   who makes it; how often a clone of it has failed

The key is a hash of everything that must be the same. A clone's clock and random numbers, which must differ from other clones, are set again
before anything of a job starts: see engine/image/guest/main."""
import hashlib
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import Transient
from engine.files import fsync_folder, write_json
from engine.host.processes import take_lock
from engine.jobs import VmSpec
from engine.runtimes.qemu.boot import patience
from engine.runtimes.qemu.command import Parts, arguments
from engine.runtimes.qemu.disks import write_inputs, write_swap
from engine.runtimes.qemu.image import Image
from engine.runtimes.qemu.monitor import Monitor
from engine.runtimes.qemu.ports import Ports

MOST_FAILURES = 3  # in a row; then this template is not tried again until something changes
FILES = ("memory", "state")
KEPT = 4
NOWHERE = Parts(Path("inputs"), Path("swap"), {"talk": 0, "console": 0, "out": 0}, 0)


@dataclass(frozen=True)
class Template:
    folder: Path

    @property
    def memory(self) -> Path:
        return self.folder / "memory"

    @property
    def state(self) -> Path:
        return self.folder / "state"


def key(program: str, image: Image, spec: VmSpec, accelerator: str) -> str:
    """Of QEMU, its command line, kernel, initrd and base, and the processor; not of the place where they are."""
    status = os.stat(os.path.realpath(program))
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("model name", "flags"))][:2]
    parts = [arguments(program, replace(image, folder=Path()), spec, accelerator, NOWHERE), [status.st_size, status.st_mtime_ns], image.files, cpu]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def find(image: Image, name: str) -> Template | None:
    """A template whose files are as they were when it was made."""
    folder = image.folder / "templates" / name
    try:
        said = json.loads((folder / "template.json").read_text())
        sound = all(_mark(folder / file) == said[file] for file in FILES)
    except (OSError, ValueError, KeyError):
        sound = False
    if not sound and folder.exists():
        failed(image, name)
    return Template(folder) if sound else None


def failed(image: Image, name: str) -> None:
    """It could not be gone on from: away with it. The next VM makes another."""
    folder = image.folder / "templates" / name
    count = failures(image, name) + 1
    write_json(folder.with_name(name + ".failed"), count)
    aside = folder.with_name(f"{name}.old-{os.getpid()}-{count}")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:  # another run was quicker
        return
    shutil.rmtree(aside, ignore_errors=True)


def worked(image: Image, name: str) -> None:
    (image.folder / "templates" / f"{name}.failed").unlink(missing_ok=True)


def failures(image: Image, name: str) -> int:
    try:
        return int((image.folder / "templates" / f"{name}.failed").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def make(program: str, image: Image, spec: VmSpec, accelerator: str, name: str, environment: dict[str, str]) -> Template | None:
    """Makes the template; None if somebody else is at it. Raises Transient when the VM does not come up."""
    folder = image.folder / "templates" / name
    folder.parent.mkdir(exist_ok=True)
    lock = take_lock(folder.with_name(name + ".lock"))
    if lock is None:
        return None
    temporary = folder.with_name(f"{name}.new")
    try:
        ready = find(image, name)  # made while the lock was taken
        if ready:
            return ready
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        _boot_and_save(program, image, spec, accelerator, temporary, environment, lock)
        os.rename(temporary, folder)
        fsync_folder(folder.parent)
        _forget_old(folder.parent)
        return Template(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _forget_old(parent: Path) -> None:
    """Of settings or programs that are not any more. A VM that goes on from one keeps what it has open."""
    made = sorted((path for path in parent.iterdir() if (path / "template.json").exists()), key=lambda path: path.stat().st_mtime)
    for path in made[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _boot_and_save(program: str, image: Image, spec: VmSpec, accelerator: str, folder: Path, environment: dict[str, str], lock: int) -> None:
    write_inputs(folder / "inputs", None)
    write_swap(folder / "swap", spec.disk_mb)
    ports, (own, end), log = Ports(folder / "out", answer=False), socket.socketpair(), os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    child = None
    try:
        parts = Parts(folder / "inputs", folder / "swap", ports.ends, log, folder / "memory", shared=True, monitor=end.fileno())
        argv = arguments(program, image, spec, accelerator, parts)
        with open(folder / "said", "wb") as said:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=(*parts.descriptors(), lock), env=environment,
                                     start_new_session=True)
        ports.close_ends()
        ports.serve(child)
        if not ports.wait("ready", patience(spec.boot_seconds)):
            told = (folder / "said").read_text(errors="replace").strip()[-200:] or "no message"
            raise Transient(f"The virtual machine for a template did not start ({told}).")
        Monitor(own).save(folder / "state")
    except OSError as error:
        raise Transient(f"A template of the virtual machine could not be saved ({error.strerror or error}).") from error
    finally:
        if child is not None:
            child.kill()
            child.wait()
        else:
            ports.close()
        for descriptor in (own, end):
            descriptor.close()
        os.close(log)
    for name in ("inputs", "swap", "out", "said"):
        (folder / name).unlink(missing_ok=True)
    for name in FILES:
        with open(folder / name, "rb") as file:
            os.fsync(file.fileno())  # a template outlives a power cut, or is not there
    write_json(folder / "template.json", {name: _mark(folder / name) for name in FILES})


def _mark(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]
