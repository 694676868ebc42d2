"""Reads what a run left in its out/ folder (a bundle, a question), after all processes that could change it are dead."""
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import AgentFailed, Permanent
from engine.files import fsync_folder, open_foreign, read_foreign
from engine.git.bundle import REF, read_header
from engine.jobs import OUT_BYTES
from engine.text import json_from_outside, printable

QUESTION_CHARACTERS, OPTIONS = 4096, 20
SENTENCE, SENTENCES = 4000, 40  # characters of each sentence of the commit phase, and how many are read


class CommitReport(NamedTuple):
    """Sentences of the commit phase. failed: why the attempt failed; notes: what was not committed as it was left; ignored: names the ignored
    files that the run made, because its result may be among them; '' if there are none."""

    failed: list[str]
    notes: list[str]
    ignored: str


def read_report(outputs: Path) -> CommitReport:
    """Reads scripts/commit.sh's report. A sandbox can forge it, so it only adds words. Raises AgentFailed if it is not a plain file."""
    found: dict[str, list[str]] = {"failed": [], "note": [], "ignored": [], "more": []}
    try:
        text = read_foreign(outputs / "report").decode("utf-8", "backslashreplace") if os.path.lexists(outputs / "report") else ""
    except Permanent as error:
        raise AgentFailed(error.sentence) from error
    for line in text.split("\n"):
        kind, _, words = line.partition(" ")
        if words and len(found.get(kind, [""] * SENTENCES)) < SENTENCES:
            found[kind].append(printable(words)[:SENTENCE])
    more = "".join(found["more"][:1])
    return CommitReport(found["failed"], found["note"], _ignored(found["ignored"], int(more) if more.isdecimal() and len(more) < 10 else 0))


def _ignored(paths: list[str], more: int) -> str:
    if not paths:
        return ""
    what = "1 file that the run made is" if len(paths) + more == 1 else f"{len(paths) + more} files that the run made are"
    return f"{what} ignored: {', '.join(paths)}{f' and {more} more' if more else ''}."


def take_bundle(outputs: Path, copy: Path) -> str | None:
    """Copies the bundle to a place where no sandbox can write. -> its commit; None if there is no bundle.
    Raises AgentFailed for a file that is not a usable bundle."""
    source = outputs / "out.bundle"
    if not os.path.lexists(source):
        return None
    try:
        descriptor = open_foreign(source, OUT_BYTES)
    except Permanent as error:
        raise AgentFailed(error.sentence) from error
    with os.fdopen(descriptor, "rb") as file:
        tip = _tip(file.fileno())
        copy.parent.mkdir(parents=True, exist_ok=True)
        with open(copy, "wb") as target:
            shutil.copyfileobj(file, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
    return tip


def _tip(bundle: int) -> str:
    try:
        refs = read_header(bundle).refs
    except Permanent as error:
        raise AgentFailed(f"The run left a bundle that cannot be read. {error.sentence}") from error
    if REF not in refs:
        raise AgentFailed("The run left a bundle without the branch swarm-out.")
    return refs[REF]


def give_bundle(copy: Path, outputs: Path) -> None:
    """Replaces the sandbox's file with the copy, so that exactly the checked bytes are merged."""
    if copy.exists():
        os.replace(copy, outputs / "out.bundle")
        fsync_folder(outputs)


def read_question(outputs: Path) -> dict[str, Any] | None:
    """The question of the agent: {question, options}, or None. Raises AgentFailed if it cannot be read."""
    path = outputs / "request.json"
    if not os.path.lexists(path):
        return None
    try:
        value = json_from_outside(read_foreign(path))
        text, options = value["question"].strip(), [str(option).strip() for option in value.get("options", []) if option is not None]
    except (ValueError, KeyError, TypeError, AttributeError, Permanent) as error:
        raise AgentFailed("The agent asked a question that cannot be read.") from error
    if not text:
        raise AgentFailed("The agent asked an empty question.")
    return {"question": text[:QUESTION_CHARACTERS], "options": [option[:QUESTION_CHARACTERS] for option in options if option][:OPTIONS]}
