"""spec-kit's tasks.md: “- [ ] T012 [P] [US1] Create the model in src/models/user.py”, phase by phase.

The file states the order: neighbouring tasks with [P] may run in parallel, and every other task runs after the tasks before it. Ticked tasks
are done and are left out."""
import re

from hitl.drafting.drafters.outline import blocks, plain
from hitl.drafting.drafters.parts import Part, part

_TASK = re.compile(r"\*{0,2}T(\d{2,4})\*{0,2}:?\s+((?:\[[^\]]{1,10}\]\s*)*)(\S.*)", re.S)


def tasks(text: str) -> list[Part]:
    """A part for each task, in order; [] if the text has no tasks."""
    found: list[Part] = []
    before, group = list[str](), list[str]()  # titles of the tasks that come before this group, and of the group itself
    parallel, phase = False, ""
    for block in blocks(text):
        if block.kind == "heading":
            phase = block.text
        match = _TASK.fullmatch(block.text) if block.kind in ("item", "text") else None
        if match is None or block.done:
            continue
        beside = "[P]" in match[2].upper()
        if not (beside and parallel):
            before, group = group or before, []
        parallel = beside
        made = part(match[3], int(match[1]))
        made.depends += before
        if phase:
            made.description.insert(0, f"{plain(phase)}, T{match[1]}")
        number = f"T{match[1]}"
        group.append(number)
        found.append(made)
    return found
