"""A virtual machine for each command: its own kernel, a read-only image, no network device, and nothing left of it afterwards."""
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from engine.jobs import VmSpec
from engine.runtimes.base import TOOLS, Handle, SandboxJob, refuse_ground

if TYPE_CHECKING:
    from engine.config import Config
    from engine.runtimes.qemu.vms import Vms


class Qemu:
    name = "qemu"
    isolation = ("Each command runs in a virtual machine of its own, which is thrown away: its own kernel, no network but the gateway of the run, "
                 "no files of the host.")
    isolates = True
    stands = False
    program = ""

    def __init__(self, vm: VmSpec | None = None) -> None:
        """Without it, it can look after the VMs that are there, and start none."""
        self._spec = vm

    @cached_property
    def vms(self) -> "Vms":
        from engine.runtimes.qemu.vms import Vms  # here alone: the process of a run in another sandbox starts sooner without it

        return Vms(self._spec)

    def probe(self) -> str | None:
        return self.vms.probe()

    def most(self) -> int:
        """So many VMs fit into the host's memory at the same time."""
        return self.vms.most()

    def vm(self, config: "Config") -> VmSpec:
        return config.vm

    def own_files(self, config: "Config") -> tuple[Path | None, str]:
        """What was laid over the image."""
        from engine.runtimes.qemu.image import Image

        try:
            layered = Image.read(config.image).layered
        except ValueError as why:
            return None, str(why)
        folder = Path(layered + TOOLS)
        if layered and folder.is_dir():
            return folder, ""
        return None, f"It is not in the virtual machines' image. Run make agents, then SWARM_VM_FILES={config.agents_folder} make vm-image."

    def start(self, job: SandboxJob) -> Handle:
        refuse_ground(job)
        return self.vms.start(job)

    def full(self, handle: Handle) -> str | None:
        return self.vms.full(handle)

    def poll(self, handle: Handle) -> int | None:
        return self.vms.poll(handle)

    def changed(self, handle: Handle, seconds: float) -> bool:
        return self.vms.changed(handle, seconds)

    def ask_to_end(self, handle: Handle, kill: bool = False) -> bool:
        return self.vms.ask_to_end(handle, kill)

    def stop(self, handle: Handle) -> None:
        self.vms.stop(handle)
