"""The initrd: busybox, the few drivers that the kernel has as modules, in the order in which they need each other, and two scripts."""
import re
from pathlib import Path

from engine.errors import Refused

WANTED = ("virtio_pci", "virtio_blk", "virtio_console", "squashfs", "overlay")
GUEST = Path(__file__).resolve().parent / "guest"
SIGNED = b"~Module signature appended~\n"
FOLDER, FILE, PROGRAM, DEVICE = 0o40755, 0o100644, 0o100755, 0o20600


def initrd(kernel: Path, busybox: bytes) -> bytes:
    """A cpio archive, not compressed: to unpack it would cost more than to load it. kernel: an unpacked package linux-image-…."""
    modules = {path.stem.replace("-", "_"): path for path in kernel.glob("lib/modules/*/kernel/**/*.ko")}
    order: list[str] = []
    for name in WANTED:
        _add(name, modules, order)
    entries = [(name, FOLDER, b"", (0, 0)) for name in ("bin", "dev", "proc", "sys", "image", "layer", "root", "modules")]
    entries += [("dev/console", DEVICE, b"", (5, 1)), ("bin/busybox", PROGRAM, busybox, (0, 0)),
                ("init", PROGRAM, (GUEST / "init").read_bytes(), (0, 0)), ("main", FILE, (GUEST / "main").read_bytes(), (0, 0)),
                ("modules/order", FILE, (" ".join(order) + "\n").encode(), (0, 0))]
    entries += [(f"modules/{name}.ko", FILE, _unsigned(modules[name].read_bytes()), (0, 0)) for name in order]
    return archive(entries)


def archive(entries: list[tuple[str, int, bytes, tuple[int, int]]]) -> bytes:
    """cpio of (name, mode, data, device numbers). The kernel takes several, one after the other; what comes later replaces."""
    return b"".join(_entry(number, *entry) for number, entry in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))], 1))


def _add(name: str, modules: dict[str, Path], order: list[str]) -> None:
    if name in order:
        return
    if name not in modules:
        raise Refused(f"The kernel package has no driver {name}. Take another kernel package.")
    found = re.search(rb"\0depends=([^\0]*)\0", modules[name].read_bytes())
    for needed in found[1].decode().split(",") if found else ():
        if needed.replace("-", "_") in modules:
            _add(needed.replace("-", "_"), modules, order)
    order.append(name)


def _unsigned(module: bytes) -> bytes:
    """The kernel does not insist on signatures, and to check them takes an emulated processor longer than all else about a driver."""
    if not module.endswith(SIGNED):
        return module
    length = int.from_bytes(module[-len(SIGNED) - 4:-len(SIGNED)], "big")
    return module[:-len(SIGNED) - 12 - length]


def _entry(number: int, name: str, mode: int, data: bytes, device: tuple[int, int]) -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)
