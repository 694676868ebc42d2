"""The virtual machines that this process has started: how each comes up, what it says, what its end means."""
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import AgentFailed, RunFailure, Transient
from engine.host.processes import RUN_VARIABLE, sweep
from engine.jobs import VmSpec
from engine.runtimes.base import GRACE_SECONDS, TOO_MUCH, Children, Handle, SandboxJob, find
from engine.runtimes.qemu import template as templates
from engine.runtimes.qemu.boot import RESUME_SECONDS, patience
from engine.runtimes.qemu.command import GATEWAY, PROGRAM, Parts, arguments
from engine.runtimes.qemu.disks import write_inputs, write_swap
from engine.runtimes.qemu.image import MAKE, Image
from engine.runtimes.qemu.memory import most_vms, shortage
from engine.runtimes.qemu.monitor import Monitor
from engine.runtimes.qemu.ports import Ports
from engine.runtimes.qemu.result import unpack

if TYPE_CHECKING:
    from engine.gateway.bridge import Bridge

LAYER_MB = 1000  # for the home folder, /tmp and whatever else is written outside the work tree: as in engine/image/guest/init


@dataclass
class Vm:
    """A VM that this process started. until: by when, on the monotonic clock, its command has to begin. bridge: to the run's gateway.
    ended: how, once known."""

    ports: Ports
    job: SandboxJob
    began: float
    until: float
    bridge: "Bridge | None"
    ended: int | RunFailure | None = None


class Vms:
    """What a runtime has to do (see engine/runtimes/base.py), for VMs of one kind."""

    def __init__(self, spec: VmSpec | None) -> None:
        self.spec = spec
        self._children = Children()
        self._vms: dict[int, Vm] = {}

    def probe(self) -> str | None:
        try:
            self._image()
        except Transient as why:
            return why.sentence
        return None

    def most(self) -> int:
        return most_vms(self.spec) if self.spec else 0

    def start(self, job: SandboxJob) -> Handle:
        """A clone of the template where there is one, or one can be made; else a cold boot, which needs nothing but the image."""
        if job.lock is None or job.log is None:
            raise Transient("A sandbox needs a log and a lock.")
        program, image, spec = self._image()
        short = shortage(spec)
        if short:
            raise Transient(short)
        accelerator = image.usable_accelerator()
        job.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_inputs(job.work / "inputs", job)
        write_swap(job.work / "swap", spec.disk_mb)
        if spec.templates:
            name = templates.key(program, image, spec, accelerator)
            handle = self._clone(program, image, spec, accelerator, name, job)
            if handle is not None:
                return handle
        return self._spawn(program, image, spec, accelerator, job, None)

    def full(self, handle: Handle) -> str | None:
        """What the guest says of itself: it can harm but its own run by that."""
        vm = self._vms.get(handle["pid"])
        sentences = {"work": f"The work tree is full ({handle['work_mb']} MB).", "out": TOO_MUCH,
                     "layer": f"The virtual machine's disk is full ({LAYER_MB} MB for home folder, /tmp and system).",
                     "memory": f"The virtual machine ran out of its {handle['vm']['memory_mb']} MB of memory."}
        return next((sentences[place] for place in (vm.ports.heard.full if vm else ()) if place in sentences), None)

    def poll(self, handle: Handle) -> int | None:
        exit_code, vm = self._children.poll(handle), self._vms.get(handle["pid"])
        if vm is None:
            return exit_code
        heard = vm.ports.heard
        if heard.begun is not None:
            handle["vm"]["boot_ms"] = round((heard.begun - vm.began) * 1000)
        if exit_code is None:
            if heard.begun is None and time.monotonic() > vm.until:
                self._children.kill(handle)
                vm.ports.join()
                vm.ended = Transient(f"The virtual machine did not start within {vm.until - vm.began:.0f} seconds{_last(heard.console)}")
                raise vm.ended
            return None
        if vm.ended is None:
            vm.ports.join()
            vm.ended = _end(vm, exit_code)
        if isinstance(vm.ended, RunFailure):
            raise vm.ended
        return vm.ended

    def changed(self, handle: Handle, seconds: float) -> bool:
        """What the guest says of itself. The time that QEMU uses is no sign: an idle guest uses some, too."""
        vm = self._vms.get(handle["pid"])
        return bool(vm and vm.ports.heard.busy and time.monotonic() - vm.ports.heard.busy < seconds)

    def ask_to_end(self, handle: Handle, kill: bool = False) -> bool:
        """The guest does it: see engine/image/guest/main."""
        vm = self._vms.get(handle["pid"])
        if vm is not None:
            vm.ports.end(0.0 if kill else GRACE_SECONDS)
        return True

    def stop(self, handle: Handle) -> None:
        self._children.kill(handle)
        vm = self._vms.get(handle["pid"])
        if vm is not None:
            vm.ports.join()
            if vm.bridge:
                vm.bridge.stop()
                vm.bridge = None
            vm.ended = self._children.poll(handle) if vm.ended is None and vm.ports.heard.code is None else vm.ended
        sweep(handle["run"], Path(handle["folder"]))

    def _image(self) -> tuple[str, Image, VmSpec]:
        """Raises Transient with what is missing."""
        program = find(PROGRAM)
        if program is None:
            raise Transient("QEMU is not installed. Install the package qemu-system-x86 (make system-deps).")
        if self.spec is None:
            raise Transient(f"There is no VM image. {MAKE}")
        try:
            image = Image.read(Path(self.spec.image))
        except ValueError as why:
            raise Transient(str(why)) from None
        if not most_vms(self.spec):
            raise Transient(f"This host's memory does not hold one virtual machine of {self.spec.memory_mb} MB. Lower SWARM_VM_MEMORY_MB.")
        return program, image, self.spec

    def _clone(self, program: str, image: Image, spec: VmSpec, accelerator: str, name: str, job: SandboxJob) -> Handle | None:
        """None where the template is not to be had, or could not be gone on from: a cold boot does."""
        try:
            if templates.failures(image, name) >= templates.MOST_FAILURES:
                return None
            template = templates.find(image, name) or templates.make(program, image, spec, accelerator, name, _environment(job))
            if template is None:
                return None
            handle = self._spawn(program, image, spec, accelerator, job, template)
        except Transient:
            templates.failed(image, name)
            return None
        except OSError:  # the image belongs to somebody else, or its disk is full
            return None
        if self._vms[handle["pid"]].ports.wait("awake", patience(RESUME_SECONDS)):
            if templates.failures(image, name):
                templates.worked(image, name)
            return handle
        self._children.kill(handle)
        vm = self._vms.pop(handle["pid"])
        vm.ports.join()
        if vm.bridge:
            vm.bridge.stop()
        templates.failed(image, name)
        return None

    def _spawn(self, program: str, image: Image, spec: VmSpec, accelerator: str, job: SandboxJob, template: templates.Template | None) -> Handle:
        """Raises Transient when QEMU does not start; a clone may still fail to go on, which is seen by its silence."""
        assert job.log is not None and job.lock is not None
        began, ports, (own, end) = time.monotonic(), Ports(job.work / "result"), socket.socketpair()
        parts = Parts(job.work / "inputs", job.work / "swap", ports.ends, job.log, template.memory if template else None,
                      monitor=end.fileno() if template else None, gateway=job.gateway is not None)
        try:
            handle = self._children.spawn(arguments(program, image, spec, accelerator, parts), job, _environment(job),
                                          (*parts.descriptors(), job.lock), job.work)
        except Transient:
            ports.close()
            own.close()
            raise
        finally:
            end.close()
        ports.close_ends()
        ports.serve(self._children.child(handle))
        self._vms[handle["pid"]] = Vm(ports, job, began, began + patience(spec.boot_seconds), _bridge(job))
        if template:
            try:
                Monitor(own).go_on(template.state)
            except (Transient, OSError, ValueError):
                self._children.kill(handle)  # its silence is noticed at once then
        own.close()
        return {**handle, "work_mb": job.limits.work_mb,
                "vm": {"accelerator": accelerator, "memory_mb": spec.memory_mb, "cpus": spec.cpus, "clone": template is not None}}


def _bridge(job: SandboxJob) -> "Bridge | None":
    if job.gateway is None:
        return None
    from engine.gateway.bridge import Bridge  # a run that needs no gateway does not wait for its modules

    bridge = Bridge(job.work / GATEWAY, job.gateway)
    bridge.start()
    return bridge


def _environment(job: SandboxJob) -> dict[str, str]:
    return {RUN_VARIABLE: job.run, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def _end(vm: Vm, exit_code: int) -> int | RunFailure:
    """What the end of QEMU means: it is ended by this process when the guest says that it is done, or breaks the rules."""
    heard = vm.ports.heard
    if heard.too_much:
        return AgentFailed(TOO_MUCH)
    if heard.wrong:
        return AgentFailed(f"The virtual machine broke the rules ({heard.wrong}), so it was stopped.")
    if heard.failed:
        return (AgentFailed if heard.begun else Transient)(f"The virtual machine could not continue: {heard.failed}.")
    if exit_code == -signal.SIGKILL and heard.code is None:
        return exit_code  # somebody outside ended it
    if heard.begun is None:
        return Transient(f"The virtual machine did not start{_last(heard.console)} The log has the message of QEMU." if exit_code
                         else f"The virtual machine ended during its start{_last(heard.console)}")
    if heard.code is not None:
        try:
            unpack(vm.job.work / "result", vm.job.outputs)
        except RunFailure as failure:
            return failure
        except OSError as error:
            return Transient(f"The outputs of the virtual machine could not be read: {error.strerror}.")
        return heard.code
    if exit_code:
        return Transient("QEMU ended with an error. The log has its message.")
    return AgentFailed(f"The virtual machine crashed during its work{_last(heard.console)}")


def _last(console: bytes) -> str:
    """What its kernel said last, a panic above all."""
    lines = [line.strip() for line in console.decode("ascii", "replace").splitlines() if line.strip()]
    told = next((line for line in lines if "anic" in line or "swarm:" in line), lines[-1] if lines else "")
    text = "".join(c for c in told if c.isprintable())[:200]
    return f": {text}." if text else "."
