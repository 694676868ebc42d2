"""The test boot: a job in a machine of the new image. kvm is taken only where that works with it, whatever /dev/kvm promises."""
import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine.errors import Refused, RunFailure
from engine.jobs import Limits, VmSpec
from engine.runtimes.base import Handle, SandboxJob
from engine.runtimes.qemu import Qemu
from engine.runtimes.qemu.image import Image

SECONDS = {"kvm": 20.0, "tcg": 180.0}
COMMAND = 'test "$(id -u)" = 1000 && git --version && cp "$SWARM_IN/question" "$SWARM_OUT/answer"'


def choose(image: Image, wanted: str, say: Callable[[str], None]) -> None:
    """Sets accelerator, why and boot_seconds. Raises Refused when the image boots with none."""
    why_not = ""
    for accelerator in ("kvm", "tcg") if wanted == "auto" else (wanted,):
        if accelerator == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            why_not = "there is no /dev/kvm that this user may use"
            continue
        image.accelerator = accelerator
        image.write()
        reason, seconds = attempt(image, SECONDS[accelerator])
        if reason is None:
            image.why = f"the image boots with {accelerator}" + (f"; not kvm: {why_not}" if why_not else "")
            image.boot_seconds = round(seconds, 2)
            say(f"    {accelerator}: a job began {seconds:.1f} s after the machine's start")
            return
        why_not = " ".join(reason.split())[:300]
        say(f"    {accelerator}: no ({why_not})")
    raise Refused(f"The new image does not boot: {why_not} An older image, if any, was not replaced.")


def attempt(image: Image, patience: float) -> tuple[str | None, float]:
    """(why it does not work, None if it does; seconds until the job began)."""
    with tempfile.TemporaryDirectory(prefix="swarm-trial-") as folder:
        places = {name: Path(folder, name) for name in ("in", "out", "work")}
        for name in ("in", "out"):
            places[name].mkdir()
        (places["in"] / "question").write_text("six by nine")
        log, lock = (os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC) for name in ("log", "lock"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        limits = Limits(patience, patience, patience, 1, 64, 512, 64)
        job = SandboxJob(f"trial-{os.getpid()}", ("/bin/sh", "-c", COMMAND), places["in"], places["out"], places["work"], {}, limits, log, lock)
        runtime = Qemu(VmSpec(str(image.folder), templates=False))
        handle = None
        try:
            handle = runtime.start(job)
            code, seconds = _end(runtime, handle, patience), handle["vm"].get("boot_ms", 0) / 1000
            said = Path(folder, "log").read_text(errors="replace").strip()[-200:]
        except RunFailure as failure:
            said = Path(folder, "log").read_text(errors="replace").strip()[-200:]
            return f"{failure.sentence.removesuffix(' The log has the message of QEMU.')} {said}".strip(), 0.0
        finally:
            if handle is not None:
                runtime.stop(handle)
            os.close(log)
            os.close(lock)
        if code is None:
            return f"it did not end within {patience:g} seconds", 0.0
        answer = places["out"] / "answer"
        if code or not answer.exists() or answer.read_text() != "six by nine":
            return f"its job ended with exit code {code} ({said})", 0.0
        return None, seconds


def _end(runtime: Qemu, handle: Handle, patience: float) -> int | None:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        code = runtime.poll(handle)
        if code is not None:
            return code
        time.sleep(0.02)
    return None
