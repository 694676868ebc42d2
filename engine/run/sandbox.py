"""One sandbox of a run, from its lock to its last process: starts, watches, stops and removes it.

Next: engine/loop/reap.py
"""
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.environments import layers
from engine.errors import AgentFailed, ProviderRefused, Transient
from engine.host import cgroups
from engine.host.folders import remove, tame
from engine.jobs import Job, Limits, Result
from engine.keys import Keys
from engine.run import services
from engine.run.disk_use import DiskWatch, is_overlaid
from engine.run.ending import Stopped, save_work
from engine.run.limits import LimitWatch, look_at
from engine.run.output import Bounds, Log, Output, drain, watch
from engine.runtimes.base import Handle, Runtime, SandboxJob
from engine.stores.store import Lent

if TYPE_CHECKING:  # a run without a gateway does not load its modules
    from engine.gateway.serving import Service

VM_THREADS = 256
TROUBLE_SECONDS = 60.0  # how long an agent may continue while its provider returns only errors
REFUSED_SECONDS = 5.0   # the same while its provider refuses until someone acts, because more requests are no use
GROUND_SECONDS = 600.0  # longest wait while another run makes the snapshot again
NO_KEYS = Keys()
REST_BYTES = 1 << 20  # output that is still read after the end


class Run:
    """A run in progress: its job, its folder and its result so far. handle: of the live sandbox.
    service: its gateway, for a job with `access`. keys: what it got on its standard input."""

    def __init__(self, job: Job, folder: Path, runtime: Runtime, result: Result, log: Log, keys: Keys = NO_KEYS) -> None:
        self.job, self.folder, self.runtime, self.result, self.log, self.keys = job, folder, runtime, result, log, keys
        self.handle: Handle | None = None
        self.service: Service | None = None
        self.began = time.monotonic()
        self.ground_lock: int | None = None  # held until this process ends
        self.snapshot: layers.Snapshot | None = None  # that the sandboxes stand on, once one was started
        self.troubled: float | None = None  # time since which the model's provider returns only errors
        self.disk: str | None = None  # a sentence, once the host's disk under the run was full while a sandbox lived
        self.tree_on_disk = False     # the work tree was on that disk
        self.lent: tuple[Lent, ...] = ()  # objects that its sandboxes see, read-only
        self.services = services.NONE  # what the services of the last sandbox said
        self.tree: Path | None = None  # the base commit's files, below its work trees

    def timed(self, phase: str, since: float) -> None:
        """Adds the milliseconds since `since` (monotonic) to a phase of the result."""
        self.result.phases[phase] = round(self.result.phases.get(phase, 0.0) + (time.monotonic() - since) * 1000, 1)

    def bounds(self, seconds: float | None = None, silence: float | None = None) -> Bounds:
        """The remaining time of the whole run, or `seconds` from now if that is less."""
        whole, look = self.job.limits.run_seconds, self.look_at_gateway if self.service else None
        if seconds is not None and time.monotonic() + seconds < self.began + whole:
            return Bounds(time.monotonic() + seconds, f"It took longer than {seconds:g} seconds, so it was stopped.", silence, look)
        return Bounds(self.began + whole, f"The run took longer than {whole:g} seconds, so it was stopped.", silence, look)

    def look_at_gateway(self) -> None:
        """Writes the gateway's notices to the log. Raises AgentFailed when the agent continues without a budget, or while its provider
        returns only errors, because some clients try forever."""
        if self.service:
            self._note_gateway()
            if self.service.is_spent():
                raise AgentFailed(str(self.service.over_budget))
            trouble = self.service.trouble()
            self.troubled = (self.troubled or time.monotonic()) if trouble else None
            most = REFUSED_SECONDS if isinstance(trouble, ProviderRefused) else TROUBLE_SECONDS
            if self.troubled and time.monotonic() - self.troubled > most and not self.service.is_asking:
                raise AgentFailed(f"The model's provider returned only errors for {most:g} seconds, so the run was stopped.")

    def _note_gateway(self) -> None:
        for notice in self.service.notices() if self.service else ():
            self.log.write(f"gateway: {notice}\n".encode())

    def troubles(self) -> list[tuple[str, str]]:
        """[(host, sentence)] of what the sandbox that ended could not reach by the gateway; each is in the log, too."""
        self._note_gateway()
        return self.service.take_troubles() if self.service else []

    def stop(self) -> None:
        """Ends the live sandbox, if there is one."""
        if self.handle is not None:
            cgroups.kill(self.job.run)  # at once, and without further forks
            self.runtime.stop(self.handle)
            self._note_vm(self.handle)
            self.handle = None

    def _note_vm(self, handle: Handle) -> None:
        """Records the virtual machine and its start time: the longest of several, and in phases the sum."""
        if "vm" in handle:
            before, took = self.result.vm, handle["vm"].get("boot_ms", 0)
            self.result.phases["boot"] = self.result.phases.get("boot", 0.0) + took
            self.result.vm = {**handle["vm"], "boots": before.get("boots", 0) + 1, "boot_ms": max(took, before.get("boot_ms", 0)),
                                   "clone": handle["vm"]["clone"] and before.get("clone", True)}


class Place(NamedTuple):
    """Where the work tree and the home of a sandbox are. disk_mb: most that it may write there, on the host's disk; 0: in memory.
    ground: folder of the snapshot below them; tree: folder of the base commit's files above that; filled: folder that the sandbox fills.
    services: names of those that it starts."""

    disk_mb: int = 0
    ground: Path | None = None
    filled: Path | None = None
    services: tuple[str, ...] = ()
    tree: Path | None = None


def place_of(run: Run) -> Place:
    """The place of the run's own sandboxes. Raises Transient if its snapshot is gone or cannot be used."""
    ground = run.job.ground
    if ground is None:
        return Place()
    if not ground.key:
        return Place(ground.disk_mb, tree=run.tree)
    snapshot = snapshot_of(run)
    return Place(ground.disk_mb, snapshot.folder, services=tuple(snapshot.services), tree=run.tree)


def snapshot_of(run: Run) -> layers.Snapshot:
    """The snapshot that the run stands on from now until its process ends, so that nobody removes it. Raises Transient if it cannot be used."""
    if run.snapshot is None:
        standing = layers.stand(run.folder.parent.parent, str(run.job.ground and run.job.ground.key), GROUND_SECONDS)
        if standing is None:
            raise Transient("The environment of this run is gone or damaged. It is made again before the next run.")
        run.ground_lock, run.snapshot = standing
    return run.snapshot


def run_sandbox(run: Run, script: str, inputs: Path, outputs: Path, environment: dict[str, str], output: Output, bounds: Bounds,
                agent: bool = False, place: Place | None = None) -> int:
    """Runs inputs/<script> in a fresh sandbox. -> its exit code. agent: True if it may use the run's models. place: None for the run's own.

    No process of the sandbox lives, and its outputs belong to this user alone, when this returns or raises: AgentFailed for a limit (OverTime
    for the clock), Stopped, or Transient when the sandbox could not start. An agent that was stopped has its work so far in the outputs;
    result.stopped says that it was."""
    place = place_of(run) if place is None else place
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
                environment=environment, limits=run.job.limits._replace(work_mb=place.disk_mb or run.job.limits.work_mb), log=end, lock=lock,
                groups=tuple(groups), tools=tools, gateway=door, disk=work if place.disk_mb else None, ground=place.ground, filled=place.filled,
                objects=run.lent, tree=place.tree, overlays=run.job.ground.overlays if run.job.ground else None))
        finally:
            os.close(end)
            os.close(lock)  # from now on only the sandbox holds it
        output.last = time.monotonic()
        return _watched(run, LimitWatch(run.runtime, run.handle, outputs, run.job.limits, groups, _disk_watch(run, place, work)), pipe, output, bounds, agent)
    except Transient:
        drain(pipe, output, REST_BYTES)  # it may say why the sandbox did not start
        raise
    finally:
        if run.service and door:
            run.service.close(door)
        os.close(pipe)
        cgroups.sweep(run.job.run)
        run.services = services.Said(work / "work", place.services)
        remove(work)
        tame(outputs)
        run.services.write(run.log)  # last, because it may also raise that the log is too long


def _disk_watch(run: Run, place: Place, work: Path) -> DiskWatch | None:
    if not place.disk_mb:
        return None
    copied = run.snapshot.bytes if run.snapshot and place.ground and not is_overlaid(work) else 0
    return DiskWatch([work, place.filled] if place.filled else [work], place.disk_mb, copied)


def _watched(run: Run, limits: LimitWatch, pipe: int, output: Output, bounds: Bounds, agent: bool) -> int:
    """Watches the live sandbox to its end, whoever brings it about. -> its exit code. If the agent is stopped, its work is saved first."""
    try:
        code = watch(limits, pipe, output, bounds)
    except (AgentFailed, Stopped):
        if agent and output.reached:
            run.result.stopped = True
            save_work(limits, pipe, output)
        raise
    finally:
        run.stop()
        limits.look_at_disk()
        run.disk, run.tree_on_disk = run.disk or limits.disk, (run.folder / "work").exists()
    drain(pipe, output, REST_BYTES)
    look_at(limits.outputs)
    return code


def _outer(job: Job) -> Limits:
    """Limits that the kernel keeps from outside. A virtual machine has its own limits, and its program needs some threads."""
    if job.vm is None:
        return job.limits
    return job.limits._replace(memory_mb=max(job.limits.memory_mb, job.vm.memory_mb), processes=max(job.limits.processes, VM_THREADS))


def _take_lock(path: Path) -> int:
    """Takes and empties the lock file. O_APPEND, because a runtime writes facts about its sandbox into it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Transient("An earlier sandbox of this run still exists.") from None
    os.ftruncate(descriptor, 0)
    return descriptor
