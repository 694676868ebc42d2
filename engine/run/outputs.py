"""What a run left in its out/ folder, looked at after every process that could change it is dead: a bundle, a question."""
import json
import os
import re
import shutil
from pathlib import Path

from engine.errors import AgentFailed, Permanent
from engine.files import fsync_folder, open_foreign, read_foreign

BUNDLE_BYTES = 512_000_000
HEADER_BYTES = 1 << 20
QUESTION_CHARACTERS, OPTIONS = 4096, 20
_SHA = r"[0-9a-f]{40}|[0-9a-f]{64}"


def take_bundle(outputs: Path, copy: Path) -> str | None:
    """Copies the bundle that the work left to where no sandbox can write. -> the commit it brings; None where there is no bundle.
    Raises AgentFailed or Permanent for a file that is no such thing."""
    source = outputs / "out.bundle"
    if not os.path.lexists(source):
        return None
    with os.fdopen(open_foreign(source, BUNDLE_BYTES), "rb") as file:
        tip = bundle_heads(file.read(HEADER_BYTES)).get("refs/heads/swarm-out")
        if tip is None:
            raise AgentFailed("The run left a bundle without its branch swarm-out.")
        file.seek(0)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with open(copy, "wb") as target:
            shutil.copyfileobj(file, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
    return tip


def give_bundle(copy: Path, outputs: Path) -> None:
    """The copy takes the place of what the sandbox wrote: what was checked is what will be merged, byte for byte."""
    if copy.exists():
        os.replace(copy, outputs / "out.bundle")
        fsync_folder(outputs)


def bundle_heads(data: bytes) -> dict[str, str]:
    """{ref: sha} of the beginning of a bundle, read without git. Raises AgentFailed for anything that is no bundle."""
    header, end, _ = data.partition(b"\n\n")
    lines = header.decode("utf-8", "replace").split("\n")
    heads = {}
    for line in lines[1:]:
        if not line.startswith(("-", "@")):
            sha, _, ref = line.partition(" ")
            heads[ref] = sha
    if not end or lines[0] not in ("# v2 git bundle", "# v3 git bundle") or not all(re.fullmatch(_SHA, sha) for sha in heads.values()):
        raise AgentFailed("The run left a bundle that cannot be read.")
    return heads


def read_question(outputs: Path) -> dict | None:
    """What the work asked a person: {question, options}, or None. Raises AgentFailed if that cannot be read."""
    path = outputs / "request.json"
    if not os.path.lexists(path):
        return None
    try:
        value = json.loads(read_foreign(path).decode("utf-8", "replace"))
        text, options = value["question"].strip(), [str(option).strip() for option in value.get("options", [])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Permanent) as error:
        raise AgentFailed("The agent asked a question that cannot be read.") from error
    if not text:
        raise AgentFailed("The agent asked an empty question.")
    return {"question": text[:QUESTION_CHARACTERS], "options": [option[:QUESTION_CHARACTERS] for option in options if option][:OPTIONS]}
