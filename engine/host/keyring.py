"""The session keyring: where the kernel keeps keys (of Kerberos, encrypted folders, network drives) for a login and all that it starts."""
import errno
import os

from engine.errors import Transient

JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64le": 271, "s390x": 280}  # {machine: number of the system call}


def leave() -> None:
    """Gives this thread a new, empty session keyring. What it starts from now on has that one, and cannot find the one before.

    Not in a child between fork and exec: no Python may run there if the process has threads. Raises Transient if the kernel has no room for it."""
    import ctypes  # here alone: it takes as long to load as everything else in a run's own process

    number = KEYCTL.get(os.uname().machine)
    if number is None:
        return
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(ctypes.c_long(number), ctypes.c_long(JOIN_SESSION_KEYRING), None) < 0:
        error = ctypes.get_errno()
        if error not in (errno.ENOSYS, errno.EPERM, errno.EACCES):  # no keys here, or a container that denies the call to all that it starts
            raise Transient(f"The sandbox could not get a keyring of its own: {os.strerror(error)}. A user may have few keys: see /proc/key-users.")
