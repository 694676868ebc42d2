"""What building an image needs, looked for before anything is begun, each with a sentence that says how to get it."""
import os
import pwd
import re
import shutil
from pathlib import Path

from engine.errors import Refused
from engine.runtimes.qemu.command import PROGRAM

PROGRAMS = {"mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools", "apt-get": "apt", "dpkg-deb": "dpkg", PROGRAM: "qemu-system-x86"}
WITHOUT_ROOT = {"newuidmap": "uidmap"}
FREE_MB = 2500
SUBUIDS = 65536


def check(target: Path, temporary: Path, layered: Path | None, free_mb: int = FREE_MB) -> None:
    """Raises Refused."""
    programs = PROGRAMS if os.geteuid() == 0 else {**PROGRAMS, **WITHOUT_ROOT}
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if missing:
        raise Refused(f"These packages are needed to build the VM image: {', '.join(missing)}. Install them with: make system-deps")
    if os.geteuid() != 0:
        _check_subuids()
    for folder in {target, temporary}:
        status = os.statvfs(folder)
        free = status.f_bavail * status.f_frsize // 1_000_000
        if free < free_mb:
            raise Refused(f"There are {free} MB free in {folder}, and building the VM image takes up to {free_mb} MB. Free some space"
                          f"{', or set TMPDIR to a folder with more' if folder == temporary else ''}.")
    if layered is not None and not layered.is_dir():
        raise Refused(f"SWARM_VM_FILES={layered} is not a folder.")


def _check_subuids() -> None:
    """mmdebstrap can do without root where the user has a range of subordinate ids."""
    user, uid = pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())
    for name in ("/etc/subuid", "/etc/subgid"):
        ranges = re.findall(r"^([^:\n]+):\d+:(\d+)$", Path(name).read_text() if Path(name).exists() else "", re.MULTILINE)
        if not any(who in (user, uid) and int(count) >= SUBUIDS for who, count in ranges):
            raise Refused(f"You are not root, and {name} has no {SUBUIDS} subordinate ids for {user}. Run make vm-image as root once (the data folder "
                          f"stays yours to use), or have this line added to {name}: {user}:100000:{SUBUIDS}")
