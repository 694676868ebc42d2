"""One sandbox of a run, from its lock to its last process: started, watched, stopped, cleared away.

Next: engine/loop/reap.py
"""
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import AgentFailed, Transient
from engine.host import cgroups
from engine.host.folders import remove
from engine.jobs import Job, Limits, Result
from engine.run.limits import LimitWatch, look_at
from engine.run.output import Bounds, Log, Output, drain, watch
from engine.runtimes.base import Handle, Runtime, SandboxJob

if TYPE_CHECKING:  # a run that needs no gateway does not wait for its modules
    from engine.gateway.serving import Service

VM_THREADS = 256
TROUBLE_SECONDS = 60.0
REST_BYTES = 1 << 20  # of output that is still taken after the end


class Run:
    """A run in progress: its job, its folder and what is known of its result so far. handle: of the sandbox that lives now.
    service: its gateway, for a job with `access`."""

    def __init__(self, job: Job, folder: Path, runtime: Runtime, result: Result, log: Log) -> None:
        self.job, self.folder, self.runtime, self.result, self.log = job, folder, runtime, result, log
        self.handle: Handle | None = None
        self.service: Service | None = None
        self.began = time.monotonic()
        self.troubled: float | None = None  # since when the model's provider has given nothing but errors

    def timed(self, phase: str, since: float) -> None:
        """Adds the milliseconds since `since` (monotonic) to a phase of the result."""
        self.result.phases[phase] = round(self.result.phases.get(phase, 0.0) + (time.monotonic() - since) * 1000, 1)

    def bounds(self, seconds: float | None = None, silence: float | None = None) -> Bounds:
        """The time that the whole run has left, or `seconds` from now where that is less."""
        whole, look = self.job.limits.run_seconds, self.look_at_gateway if self.service else None
        if seconds is not None and time.monotonic() + seconds < self.began + whole:
            return Bounds(time.monotonic() + seconds, f"It took longer than {seconds:g} seconds, so it was stopped.", silence, look)
        return Bounds(self.began + whole, f"The run took longer than {whole:g} seconds, so it was stopped.", silence, look)

    def look_at_gateway(self) -> None:
        """Its notices go into the log. Raises AgentFailed when the agent goes on though nothing is left to spend, or though its provider
        gives nothing but errors: some clients try for ever."""
        if self.service:
            for notice in self.service.notices():
                self.log.write(f"gateway: {notice}\n".encode())
            if self.service.is_spent():
                raise AgentFailed(str(self.service.over_budget))
            self.troubled = (self.troubled or time.monotonic()) if self.service.trouble() else None
            if self.troubled and time.monotonic() - self.troubled > TROUBLE_SECONDS:
                raise AgentFailed("The model's provider has given nothing but errors for a minute.")

    def stop(self) -> None:
        """Ends the sandbox that lives now, if any."""
        if self.handle is not None:
            cgroups.kill(self.job.run)  # at once, and no more forks
            self.runtime.stop(self.handle)
            self._note_vm(self.handle)
            self.handle = None

    def _note_vm(self, handle: Handle) -> None:
        """What the virtual machine was, and how long it took to come up: of several, the longest; phases: all of that."""
        if "vm" in handle:
            before, took = self.result.vm, handle["vm"].get("boot_ms", 0)
            self.result.phases["boot"] = self.result.phases.get("boot", 0.0) + took
            self.result.vm = {**handle["vm"], "boots": before.get("boots", 0) + 1, "boot_ms": max(took, before.get("boot_ms", 0)),
                                   "clone": handle["vm"]["clone"] and before.get("clone", True)}


def run_sandbox(run: Run, script: str, inputs: Path, outputs: Path, environment: dict[str, str], output: Output, bounds: Bounds,
                agent: bool = False) -> int:
    """Runs inputs/<script> in a fresh sandbox. -> its exit code. agent: it may have the models that the run may have.

    Nothing of the sandbox is alive when this returns or raises: AgentFailed for a limit (OverTime for the clock),
    Transient when there was no sandbox to be had."""
    outputs.mkdir(parents=True, exist_ok=True)
    lock, work = _take_lock(run.folder / "sandbox.lock"), run.folder / "work"
    pipe, end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(pipe, False)
    groups = cgroups.create(run.job.run, _outer(run.job))
    door = run.service.open(agent) if run.service else None
    try:
        try:
            tools = Path(run.job.means.tools) if agent and run.job.means.tools else None
            run.handle = run.runtime.start(SandboxJob(
                run=run.job.run, command=("/bin/sh", "-c", f'. "$SWARM_IN/{script}"'), inputs=inputs, outputs=outputs, work=work,
                environment=environment, limits=run.job.limits, log=end, lock=lock, groups=tuple(groups),
                tools=tools, gateway=door))
        finally:
            os.close(end)
            os.close(lock)  # from now on the sandbox alone holds it
        output.last = time.monotonic()
        try:
            code = watch(LimitWatch(run.runtime, run.handle, outputs, run.job.limits, groups), pipe, output, bounds)
        finally:
            run.stop()
        drain(pipe, output, REST_BYTES)
        look_at(outputs)
        return code
    except Transient:
        drain(pipe, output, REST_BYTES)  # why the sandbox did not come up
        raise
    finally:
        if run.service and door:
            run.service.close(door)
        os.close(pipe)
        cgroups.sweep(run.job.run)
        remove(work)
        run.log.rest()  # last: it, too, may say that the log is too long


def _outer(job: Job) -> Limits:
    """What the kernel holds the sandbox to from outside. A virtual machine has what it was given, and its program needs some threads."""
    if job.vm is None:
        return job.limits
    return job.limits._replace(memory_mb=max(job.limits.memory_mb, job.vm.memory_mb), processes=max(job.limits.processes, VM_THREADS))


def _take_lock(path: Path) -> int:
    """Emptied, because a runtime may note in it what this sandbox is; O_APPEND, because it does so without looking where."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Transient("An earlier sandbox of this run is still there.") from None
    os.ftruncate(descriptor, 0)
    return descriptor
