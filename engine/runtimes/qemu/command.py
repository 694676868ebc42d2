"""The command line of QEMU: one fixed VM, so that saved device states fit. Everything goes by descriptor or by path, nothing by network."""
import os
from dataclasses import dataclass
from pathlib import Path

from engine.jobs import VmSpec
from engine.runtimes.qemu.image import BASE, INITRD, KERNEL, Image

PROGRAM = "qemu-system-x86_64"
LINE = "console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on mitigations=off nokaslr 8250.nr_uarts=1 cryptomgr.notests audit=0 apparmor=0"
WARM = " swarm.warm"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
GATEWAY = "gateway"  # a socket
TCG_CACHE_MB = 96  # of translated code
OVERHEAD_MB = 200  # what QEMU itself takes besides the guest's memory


@dataclass(frozen=True)
class Parts:
    """What differs between VMs. ends: descriptors of the ports. memory: the file that backs the guest's: written (shared) for a
    template, copied on write in a clone, which then waits for its device state. monitor: descriptor of a socket. gateway: whether
    there is one behind port 4; its socket is made in QEMU's working folder, for its whole path might be too long for a socket's."""

    inputs: Path
    swap: Path
    ends: dict[str, int]
    log: int
    memory: Path | None = None
    shared: bool = False
    monitor: int | None = None
    gateway: bool = False

    def descriptors(self) -> tuple[int, ...]:
        return (*self.ends.values(), self.log, *((self.monitor,) if self.monitor is not None else ()))


def arguments(program: str, image: Image, spec: VmSpec, accelerator: str, parts: Parts) -> list[str]:
    mebibytes = spec.memory_mb * 1_000_000 >> 20
    argv = [program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox", SANDBOX, "-name", "swarm", "-rtc", "base=utc",
            "-accel", f"tcg,tb-size={TCG_CACHE_MB}" if accelerator == "tcg" else "kvm", "-cpu", "max", "-smp", str(spec.cpus), "-m", f"{mebibytes}M",
            "-M", "q35,usb=off,vmport=off,sata=off,smbus=off,i8042=off" + (",memory-backend=ram" if parts.memory else ""),
            "-kernel", str(image.folder / KERNEL), "-initrd", str(image.folder / INITRD), "-append", LINE + (WARM if parts.shared else "")]
    if parts.memory:
        argv += ["-object", f"memory-backend-file,id=ram,size={mebibytes}M,mem-path={_escaped(parts.memory)},share={'on' if parts.shared else 'off'}"]
    for name, path, options in (("image", image.folder / BASE, "readonly=on,file.locking=off"), ("inputs", parts.inputs, "readonly=on"),
                                ("swap", parts.swap, "cache=unsafe,discard=unmap")):
        argv += ["-drive", f"if=none,id={name},file={_escaped(path)},format=raw,{options}", "-device", f"virtio-blk-pci,drive={name}"]
    argv += ["-chardev", f"socket,id=console,fd={parts.ends['console']}", "-serial", "chardev:console", "-device", "virtio-serial-pci"]
    argv += ["-add-fd", f"fd={parts.log},set=1", "-chardev", "file,id=log,path=/dev/fdset/1,append=on"]
    argv += ["-chardev", f"socket,id=gateway,path={GATEWAY},server=on,wait=off" if parts.gateway else "null,id=gateway"]
    for number, name in enumerate(("talk", "log", "out", "gateway"), 1):
        if name in parts.ends:
            argv += ["-chardev", f"socket,id={name},fd={parts.ends[name]}"]
        argv += ["-device", f"virtserialport,chardev={name},name={name},nr={number}"]
    if parts.monitor is not None:
        argv += ["-chardev", f"socket,id=monitor,fd={parts.monitor}", "-mon", "chardev=monitor,mode=control"]
    if parts.memory and not parts.shared:
        argv += ["-incoming", "defer"]
    return argv


def needed_mb(spec: VmSpec) -> int:
    """Of the host's memory, at most, while such a VM lives."""
    return spec.memory_mb + OVERHEAD_MB


def _escaped(path: Path) -> str:
    return os.fspath(path).replace(",", ",,")
