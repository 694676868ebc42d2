"""Watches from outside, by the kernel's list of locks, that no ticket ever has two runs alive. It opens no lock: a look would disturb."""
import os
import re
import threading
from pathlib import Path

from tests.whole.chaos.server import read

PAUSE = 0.02
LOCK = re.compile(r"FLOCK\s+ADVISORY\s+WRITE\s+-?\d+\s+(\w+):(\w+):(\d+)")


class Sampler(threading.Thread):
    """found: a sentence for each pair of runs seen alive at once. looks: how often it looked."""

    def __init__(self, data: Path) -> None:
        super().__init__(daemon=True)
        self._runs, self._stopping = data / "runs", threading.Event()
        self._files: dict[tuple[int, int, int], Path] = {}  # device and inode -> lock
        self._known: set[Path] = set()
        self.found: list[str] = []
        self.looks = 0
        self.orphans: set[str] = set()  # runs of which a sandbox was seen without its runner

    def run(self) -> None:
        while not self._stopping.wait(PAUSE):
            self._learn()
            self._look()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _learn(self) -> None:
        for run in read(lambda: os.listdir(self._runs), []):
            for path in (self._runs / run / "lock", self._runs / run / "sandbox.lock"):
                status = None if path in self._known else read(path.stat, None)
                if status is not None:
                    self._known.add(path)
                    self._files[os.major(status.st_dev), os.minor(status.st_dev), status.st_ino] = path

    def _look(self) -> None:
        found = (self._files.get((int(major, 16), int(minor, 16), int(inode))) for major, minor, inode in LOCK.findall(Path("/proc/locks").read_text()))
        held = {path for path in found if path is not None}
        alive: dict[str, set[str]] = {}
        for path in held:
            run = path.parent.name
            alive.setdefault(run.rsplit("-", 2)[0], set()).add(run)
            if path.with_name("lock") not in held:
                self.orphans.add(run)
        self.looks += 1
        for ticket, runs in alive.items():
            sentence = f"{ticket} had {len(runs)} runs alive at once: {', '.join(sorted(runs))}"
            if len(runs) > 1 and sentence not in self.found:
                self.found.append(sentence)
