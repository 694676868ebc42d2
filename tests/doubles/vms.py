"""The image that the tests' virtual machines start from, built once for all that goes into it, and machines made of it."""
import functools
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import require

from engine.config import ROOT, Config
from engine.errors import Refused
from engine.host.processes import take_lock
from engine.image.build import Plan, build
from engine.image.initrd import GUEST, archive
from engine.jobs import VmSpec
from engine.runtimes.qemu.image import INITRD, Image

FOLDER = "VM_TEST_IMAGES"  # where images are kept between runs of the tests; default: data/images of this checkout
SOURCES = ("engine/image/guest/init", "engine/image/guest/main", "engine/image/initrd.py", "engine/image/kernel.py", "engine/image/build.py",
           "engine/runtimes/qemu/command.py")
BUILDING_SECONDS = 600.0


@functools.cache
def vm_image() -> Path:
    """Skips the test where no image can be built; with SWARM_REQUIRE_ALL=1 that is a failure."""
    for program in ("qemu-system-x86_64", "mmdebstrap", "mksquashfs"):
        require(program)
    parent = Path(os.environ.get(FOLDER) or ROOT / "data" / "images")
    parent.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in SOURCES)).hexdigest()[:12]
    folder = parent / f"test-{key}"
    lock = take_lock(parent / "test.lock", BUILDING_SECONDS)
    assert lock is not None, "another run of the tests has been building an image for ten minutes"
    try:
        for path in parent.glob("test-*"):
            if path != folder:
                shutil.rmtree(path)
        if not folder.exists():
            build(Plan(folder, accelerator=os.environ.get("SWARM_VM_ACCELERATOR", "auto")), print)
        Image.read(folder)
    except Refused as refused:
        if os.environ.get("SWARM_REQUIRE_ALL") == "1":
            pytest.fail(refused.sentence)
        pytest.skip(refused.sentence)
    finally:
        os.close(lock)
    return folder


def vm_spec(templates: bool = True) -> VmSpec:
    """A small one."""
    return VmSpec(str(vm_image()), memory_mb=512, disk_mb=512, templates=templates)


def furnish(config: Config) -> Config:
    """The installation has the image, its runs are virtual machines."""
    (config.data / "images").mkdir(parents=True, exist_ok=True)
    (config.data / "images" / config.vm_image).symlink_to(vm_image())
    return replace(config, runtime="qemu", vm_memory_mb=512, vm_disk_mb=512, slots=2, synchronous="NORMAL", poll_seconds=0.5)


def hostile(folder: Path, change: Callable[[str], str]) -> VmSpec:
    """A machine of an image whose own system is not ours any more: `change` rewrites what PID 1 does."""
    folder.mkdir()
    image = Image.read(vm_image())
    for name in image.files:
        os.link(image.folder / name, folder / name)
    (folder / INITRD).unlink()
    main = (GUEST / "main").read_text()
    changed = change(main)
    assert changed != main
    initrd = (image.folder / INITRD).read_bytes() + archive([("main", 0o100644, changed.encode(), (0, 0))])
    (folder / INITRD).write_bytes(initrd)
    replace(image, folder=folder, files={**image.files, INITRD: {"sha256": "", "bytes": len(initrd)}}).write()
    return VmSpec(str(folder), memory_mb=512, disk_mb=512, templates=False)
