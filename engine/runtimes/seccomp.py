"""The system call filter of a sandbox, as a program that the kernel reads (classic BPF): for bwrap's option --seccomp.

It closes the parts of the host's kernel that a build does not need and that let programs out of sandboxes in the past. The list is that of the
default profiles of container engines, except for ptrace and its like: they reach only processes of the same sandbox, and debuggers and
sanitizers need them. A call that is denied fails as if this kernel did not have it (ENOSYS), so programs fall back to another one."""
import errno
import os
import struct
import sys

# {machine: its AUDIT_ARCH_… value}. A 32-bit Python is of another architecture than its kernel says.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7} if sys.maxsize > 2 ** 32 else {}
# {call: its numbers on x86_64 and aarch64}, from the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
DENIED: dict[str, tuple[int, int] | tuple[int]] = {
    # keys of the user who runs the server
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # large interfaces that ordinary programs use only if they are there
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "userfaultfd": (323, 282), "bpf": (321, 280),
    "perf_event_open": (298, 241), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18),
    # mounts and namespaces; the flags of clone3 are in memory, where a filter cannot read them, and without it programs call clone
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "setns": (308, 268), "clone3": (435, 435), "open_by_handle_at": (304, 265),
    # the host itself
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "syslog": (103, 116), "vhangup": (153, 58), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "ustat": (136,), "sysfs": (139,), "uselib": (134,), "iopl": (172,), "ioperm": (173,),
    # where memory lies on a machine with several nodes
    "mbind": (237, 235), "set_mempolicy": (238, 237), "get_mempolicy": (239, 236), "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
}
SOCKET, CLONE, UNSHARE = (41, 198), (56, 220), (272, 97)
FAMILIES = (40, 38)  # AF_VSOCK reaches the host and other virtual machines; AF_ALG is the kernel's own cryptography
NAMESPACES, TIME_NAMESPACE = 0x7E020000, 0x80  # all CLONE_NEW… flags; clone() has the signal of a child's end where unshare() has the second

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K and so on
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; of the argument its lower half, as both machines are little-endian
ALLOW, END, FAIL = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO
X32, SKIPPED = 0x40000000, 0xFFFFFFFF  # numbers of the x32 architecture begin here; -1 is a call that a debugger cancels


def program(machine: str) -> bytes | None:
    """The filter for a machine (as uname calls it); None if there is none for it."""
    if machine not in ARCHITECTURES:
        return None
    column = list(ARCHITECTURES).index(machine)
    code = [_op(LOAD, ARCHITECTURE), _op(EQUAL, ARCHITECTURES[machine], 1, 0), _op(RETURN, END), _op(LOAD, NUMBER)]
    if machine == "x86_64":
        code += [_op(EQUAL, SKIPPED, 2, 0), _op(AT_LEAST, X32, 0, 1), _op(RETURN, END)]
    for numbers in DENIED.values():
        if column < len(numbers):
            code += [_op(EQUAL, numbers[column], 0, 1), _op(RETURN, FAIL | errno.ENOSYS)]
    for numbers, mask in ((CLONE, NAMESPACES), (UNSHARE, NAMESPACES | TIME_NAMESPACE)):
        code += [_op(EQUAL, numbers[column], 0, 4), _op(LOAD, FIRST_ARGUMENT), _op(ANY_BIT, mask, 0, 1), _op(RETURN, FAIL | errno.EPERM),
                 _op(RETURN, ALLOW)]
    code += [_op(EQUAL, SOCKET[column], 0, 1 + 2 * len(FAMILIES)), _op(LOAD, FIRST_ARGUMENT)]
    for family in FAMILIES:
        code += [_op(EQUAL, family, 0, 1), _op(RETURN, FAIL | errno.EAFNOSUPPORT)]
    return b"".join([*code, _op(RETURN, ALLOW)])


def program_here() -> bytes | None:
    """The filter for this machine; None if there is none, or if this kernel cannot filter calls."""
    return program(os.uname().machine) if os.path.exists("/proc/sys/kernel/seccomp/actions_avail") else None


def _op(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction (struct sock_filter). The last two: how many instructions a comparison skips."""
    return struct.pack("=HBBI", operation, if_true, if_false, value)
