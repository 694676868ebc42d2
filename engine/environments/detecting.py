"""Detection for a commit of a repository: reads the files that detectors look at, and lets these work in a process with limits."""
import json
import sys

from engine.environments.detect import Detection, detect
from engine.environments.detect.parts import Tree, unused
from engine.environments.detect.view import READS, is_read, kept
from engine.environments.programs import programs
from engine.environments.steps import Steps, parse
from engine.errors import Permanent
from engine.host.limited import TOO_MUCH, ask, lower_limits

BYTES = 8_000_000  # of all files together; what comes after is not read
CPU_SECONDS = 10


class _Files:
    """A tree from memory."""

    def __init__(self, names: list[str], texts: dict[str, str]) -> None:
        self._names, self._texts = names, texts

    def names(self) -> list[str]:
        return self._names

    def read(self, path: str) -> str | None:
        return self._texts.get(path)


def detected(tree: Tree) -> Detection:
    """What the files of a commit ask for, on this machine. Raises Transient if this machine is too busy to look."""
    names = kept(tree.names())
    texts: dict[str, str] = {}
    left = BYTES
    for path in [name for name in names if is_read(name)][:READS]:
        text = tree.read(path)
        if text is not None and len(text) <= left:
            texts[path] = text
            left -= len(text)
    try:
        answer = ask("engine.environments.detecting", {"names": names, "texts": texts, "host": programs()}, "The manifests of the repository")
    except Permanent as error:
        return Detection(Steps(), [unused("", f"The manifests of the repository were not read, so write the steps. {error.sentence}")])
    return Detection(parse(answer["steps"]) if answer["steps"] else Steps(), answer["found"])


def main() -> None:
    """In the process with limits."""
    lower_limits(CPU_SECONDS)
    question = json.loads(sys.stdin.buffer.read())
    try:
        steps, found = detect(_Files(question["names"], question["texts"]), question["host"])
    except (MemoryError, RecursionError):
        steps, found = Steps(), [unused("", f"The manifests of the repository were not read, so write the steps. {TOO_MUCH}")]
    sys.stdout.write(json.dumps({"steps": steps.as_json(), "found": found}))
