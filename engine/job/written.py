"""The environment that WORKFLOW.md of a commit asks for: a proposal, which someone must approve like any other."""
from pathlib import Path
from typing import Any, NamedTuple

from engine.environments.steps import Steps, parse
from engine.errors import BadRequest, Permanent
from engine.job.workflow import NAME, workflow_at

FOUND: dict[str, Any] = {"file": NAME, "used": True, "why": "Its section environment says how dependencies are installed."}


class Written(NamedTuple):
    """steps: None if the file says nothing of an environment. wrong: a sentence if what it says cannot be used."""

    steps: Steps | None = None
    wrong: str = ""


def environment_at(repository: Path, commit: str) -> Written:
    """What a commit's file says. A file that cannot be read at all says nothing here: the first run of the build tells that."""
    try:
        workflow = workflow_at(repository, commit)
        said = workflow.environment if workflow else {}
        if said.get("error"):
            return Written(wrong=str(said["error"]))
        steps = parse(said["value"]) if said.get("value") is not None else Steps()
    except Permanent:
        return Written()
    except BadRequest as error:
        details: Any = error.extra["details"]
        return Written(wrong=f"{details[0]['path']} {details[0]['message']}.")
    return Written(steps if steps != Steps() else None)
