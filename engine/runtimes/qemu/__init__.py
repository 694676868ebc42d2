"""A virtual machine for each command: its own kernel, a read-only image, no network device, and nothing left of it afterwards."""
from functools import cached_property
from typing import TYPE_CHECKING

from engine.jobs import Machine
from engine.runtimes.base import Handle, SandboxJob

if TYPE_CHECKING:
    from engine.runtimes.qemu.machines import Machines


class Qemu:
    name = "qemu"
    isolation = "Each command runs in a virtual machine of its own, which is thrown away: its own kernel, no network, no files of the host."
    in_process = False

    def __init__(self, machine: Machine | None = None) -> None:
        """Without a machine it can look after those that are there, and start none."""
        self._machine = machine

    @cached_property
    def machines(self) -> "Machines":
        from engine.runtimes.qemu.machines import Machines  # here alone: the process of a run in another sandbox starts sooner without it

        return Machines(self._machine)

    def probe(self) -> str | None:
        return self.machines.probe()

    def most(self) -> int:
        """So many machines fit into the host's memory at the same time."""
        return self.machines.most()

    def start(self, job: SandboxJob) -> Handle:
        return self.machines.start(job)

    def full(self, handle: Handle) -> str | None:
        return self.machines.full(handle)

    def poll(self, handle: Handle) -> int | None:
        return self.machines.poll(handle)

    def stop(self, handle: Handle) -> None:
        self.machines.stop(handle)
