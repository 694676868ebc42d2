"""The kinds of sandbox in which the commands of a run are executed."""
from collections.abc import Sequence
from typing import NamedTuple

from engine.errors import Refused
from engine.jobs import VmSpec
from engine.runtimes.base import Handle, Runtime, SandboxJob
from engine.runtimes.bubblewrap import Bubblewrap
from engine.runtimes.fake import Fake, FakeOutcome
from engine.runtimes.process import Process
from engine.runtimes.qemu import Qemu

__all__ = ["RUNTIMES", "Choice", "Fake", "FakeOutcome", "Handle", "Runtime", "SandboxJob", "choose", "make"]

RUNTIMES: dict[str, type[Runtime]] = {"qemu": Qemu, "bubblewrap": Bubblewrap, "process": Process, "fake": Fake}
BEST_FIRST = ("qemu", "bubblewrap", "process")  # auto takes the first that is registered and works


class Choice(NamedTuple):
    """fallback: True if no isolating runtime works here, so that the engine and you must decide what may run."""

    runtime: Runtime
    passed_over: Sequence[tuple[str, str]] = ()  # (name, why it cannot run and what to do), best first
    fallback: bool = False

    @property
    def no_isolation(self) -> str:
        """Why nothing isolates here, with one command that changes it: that of the last one passed over, which needs the least."""
        return self.passed_over[-1][1] if self.passed_over else ""

    @property
    def most(self) -> int | None:
        """As Runtime.most()."""
        return self.runtime.most()


def make(name: str, vm: VmSpec | None = None, program: str = "") -> Runtime:
    """vm: the virtual machine of this installation; other runtimes do not need it. program: Runtime.program of an earlier probe."""
    if name == Bubblewrap.name:
        return Bubblewrap(program)
    return Qemu(vm) if name == Qemu.name else RUNTIMES[name]()


def choose(setting: str, vm: VmSpec | None = None) -> Choice:
    """The runtime for a setting: a name, or 'auto'. Raises Refused when the named runtime cannot run here, or none can."""
    if setting != "auto":
        if setting not in RUNTIMES:
            raise Refused(f"The runtime {setting!r} does not exist. Choose one of: auto, {', '.join(RUNTIMES)}.")
        runtime = make(setting, vm)
        reason = runtime.probe()
        if reason:
            raise Refused(f"The runtime {setting} cannot run here. {reason}")
        return Choice(runtime)
    passed_over: list[tuple[str, str]] = []
    for name in BEST_FIRST:
        if name in RUNTIMES:
            runtime = make(name, vm)
            reason = runtime.probe()
            if reason is None:
                return Choice(runtime, passed_over, fallback=not runtime.isolates)
            passed_over.append((name, reason))
    raise Refused("No runtime can run here. " + " ".join(reason for _, reason in passed_over))
