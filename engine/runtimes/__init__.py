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
    """fallback: True if no isolating runtime works here, so that the engine and you must decide what may run.
    other: a runtime whose sandboxes can stand on an environment, where those of `runtime` cannot."""

    runtime: Runtime
    passed_over: Sequence[tuple[str, str]] = ()  # (name, why it cannot run and what to do), best first
    fallback: bool = False
    other: Runtime | None = None

    @property
    def standing(self) -> Runtime | None:
        """The runtime for builds that have an environment; None if none here can have one."""
        return self.runtime if self.runtime.stands else self.other

    def on(self, environment: str | None) -> Runtime:
        """The runtime for a run, by the key of its build's environment."""
        return (self.standing if environment else None) or self.runtime

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
                return Choice(runtime, passed_over, not runtime.isolates, None if runtime.stands or not runtime.isolates else _standing(vm))
            passed_over.append((name, reason))
    raise Refused("No runtime can run here. " + " ".join(reason for _, reason in passed_over))


def _standing(vm: VmSpec | None) -> Runtime | None:
    """The first runtime that works here and whose sandboxes can stand on an environment."""
    return next((runtime for name in BEST_FIRST if (runtime := make(name, vm)).stands and runtime.probe() is None), None)
