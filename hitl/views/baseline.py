"""What the checks of a session's card say at the base: the same for JSON and for pages, before the build and during it."""
from typing import Any, NamedTuple

from engine.criteria import criteria_of
from engine.errors import BadRequest, InvalidCard, Permanent, WrongState
from engine.files import read_foreign
from engine.repositories import baselines, sources
from engine.repositories.base_questions import WAITS_FOR_ENVIRONMENT
from engine.repositories.rows import RepositoryRow
from engine.result_values import checks_of
from engine.runs import wanted
from engine.text import json_from_outside, stored
from engine.tickets.rows import OwnedRunRow, TicketRow
from engine.tickets.session_rows import SessionRow
from engine.tickets.session_states import EDITABLE
from hitl.card.spec_card import normalise, validate
from hitl.card.text import Problem
from hitl.session import sessions
from hitl.views.repository import given_in
from hitl.web.context import Swarm

BEFORE_A_BUILD = (*EDITABLE, "approved")
TIMES = 10


class _Check(NamedTuple):
    """A criterion with a command. path: its place in the card, or its ticket."""

    path: str
    text: str
    command: str
    waived: bool


class _Place(NamedTuple):
    """Where the checks were measured: commit and environment."""

    base: str
    key: str


def baseline_view(swarm: Swarm, tenant: str, session_id: str) -> dict[str, Any]:
    """{state, reason, base_sha, environment, repository: its id, run, done, total,
    checks: [{path, text, command, result, exit, output, seconds}]}. Raises NotFound.

    state: none (no check, or a repository of the session's own), not_run, waiting (for a slot or its environment), running, done, failed. reason: a sentence
    about a state that is not what was asked for. result: as in engine/tickets/evidence.py. run: the newest baseline run."""
    row = sessions.get(swarm.db, tenant, session_id)
    epic = swarm.db.one("select * from tickets where session_id = ? and type = 'epic' order by seq limit 1", (session_id,), TicketRow)
    checks, repository = _checks(swarm, row, epic), _repository(swarm, tenant, row, epic)
    run = wanted.latest(swarm.db, "baseline", "session", session_id)
    if run is not None and (repository is None or stored(run["task"], {}).get("repository") != repository["id"]):
        run = None
    place = _place(run, epic)
    known = baselines.known(swarm.db, repository["id"], place.base, place.key) if repository and place else {}
    live = _said_so_far(swarm, run) if run and run["state"] == "running" else {}
    shown = [_as_dict(check, {**known, **live}.get(check.command)) for check in checks]
    state, reason = _state(swarm, row, run, shown, repository is not None)
    commands = {check.command for check in checks if not check.waived}
    return {"state": state, "reason": reason, "base_sha": place.base if place else None,
            "environment": (place.key or None) if place else None,
            "repository": repository["id"] if repository else None, "run": run["id"] if run else None,
            "done": len(commands & {*known, *live}), "total": len(commands), "checks": shown}


def start(swarm: Swarm, tenant: str, session_id: str, body: dict[str, Any]) -> None:
    """Lets each check of the card run at the base. body: {times: how often each, 1 to 10; again: true to run also what is known}.
    Raises NotFound; BadRequest; WrongState during a build, and where there is nothing to run."""
    times, again = body.get("times", 1), body.get("again", False)
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= TIMES:
        raise BadRequest(f"times must be a whole number from 1 to {TIMES}.")
    if not isinstance(again, bool):
        raise BadRequest("again must be true or false.")
    row = sessions.get(swarm.db, tenant, session_id)
    state = {"currentState": row["state"], "since": row["updated_at"]}
    if row["state"] not in BEFORE_A_BUILD:
        raise WrongState("A build runs its checks at the base by itself, before the first agent begins. Look at the evidence.", **state)
    repository, branch = given_in(row)
    if not repository:
        raise WrongState("This session gets a new repository of its own, so there is no base to check. Name a repository in the card first.", **state)
    commands = list(dict.fromkeys(check.command for check in _checks(swarm, row, None)))
    if not commands:
        raise WrongState("The card has no check to run, or it is not valid yet. Give a criterion a command first.", **state)
    source = sources.row_for(swarm.db, swarm.config, tenant, repository)
    wanted.want(swarm.db, "baseline", "session", session_id, tenant,
                {"repository": source["id"], "branch": branch, "commands": commands, "times": times, "again": again}, session_id)


def cancel(swarm: Swarm, tenant: str, session_id: str) -> None:
    """Stops the baseline run of a session. Raises NotFound; WrongState if none is live."""
    row = sessions.get(swarm.db, tenant, session_id)
    run = wanted.current(swarm.db, "baseline", "session", session_id)
    if run is None:
        raise WrongState("No check runs at the base now.", currentState=row["state"], since=row["updated_at"])
    wanted.cancel(swarm.db, tenant, run["id"])


def warnings_of(found: dict[str, Any]) -> list[Problem]:
    """What is known of checks that cannot run, as the warnings of a build's start."""
    return [{"path": each["path"], "message": f"“{' '.join(each['command'].split())[:200]}” cannot run at the base: {each['output'].partition(chr(10))[0]}"}
            for each in found["checks"] if each["result"] == "cannot_run"]


def _checks(swarm: Swarm, row: SessionRow, epic: TicketRow | None) -> list[_Check]:
    """Of the tickets of a build; before it, of the card as it is now."""
    if epic is not None:
        tickets = swarm.db.all("select id, acceptance_criteria from tickets where session_id = ? and status <> 'cancelled' order by seq",
                               (row["id"],), TicketRow)
        return [_Check(ticket["id"], each.text, each.check, bool(each.waived)) for ticket in tickets for each in criteria_of(ticket["acceptance_criteria"])
                if each.check]
    try:
        checked = validate(sessions.current_card(row), swarm.config)
    except (BadRequest, InvalidCard):
        return []
    plan = normalise(checked.card, checked.meaning)
    found = [_Check(f"features[{place}].acceptance_criteria[{number}]", item["text"], item["check"], False) for place, feature in enumerate(plan["features"])
             for number, item in enumerate(feature["acceptance_criteria"]) if not isinstance(item, str)]
    return found + [_Check(f"checks[{number}]", command, command, False) for number, command in enumerate(plan["checks"])]


def _repository(swarm: Swarm, tenant: str, row: SessionRow, epic: TicketRow | None) -> RepositoryRow | None:
    """The row of the session's repository; None if it is its own, or nobody has used it yet."""
    given, _ = given_in(row)
    try:
        if epic is not None and row["repository_id"]:
            return sources.get(swarm.db, tenant, row["repository_id"])
        return sources.known(swarm.db, swarm.config, tenant, given) if given else None
    except BadRequest:
        return None


def _place(run: OwnedRunRow | None, epic: TicketRow | None) -> _Place | None:
    if epic is not None and epic["base_sha"]:
        return _Place(epic["base_sha"], epic["environment"] or "")
    return _Place(run["base_sha"], run["environment"] or "") if run and run["base_sha"] else None


def _said_so_far(swarm: Swarm, run: OwnedRunRow) -> dict[str, dict[str, Any]]:
    """What a live run has found so far."""
    try:
        found = json_from_outside(read_foreign(swarm.config.data / "runs" / run["id"] / "checks.json"))
    except (Permanent, ValueError):  # it has found nothing yet
        return {}
    return {check["command"]: check for check in checks_of(found) if check.get("result") in baselines.RESULTS and check.get("command")}


def _as_dict(check: _Check, said: Any) -> dict[str, Any]:
    result = "waived" if check.waived else said["result"] if said else "not_run"
    return {"path": check.path, "text": check.text, "command": check.command, "result": result, "exit": said["exit"] if said else None,
            "output": said["output"] if said else "", "seconds": said["seconds"] if said else None}


def _state(swarm: Swarm, row: SessionRow, run: OwnedRunRow | None, checks: list[dict[str, Any]], is_known: bool) -> tuple[str, str]:
    if not checks or not (is_known or given_in(row)[0]):
        return "none", ""
    if run is None:
        return ("done" if all(check["result"] != "not_run" for check in checks) else "not_run"), ""
    if run["ended_at"] is None:
        return ("waiting", "It waits for a free slot.") if run["state"] == "wanted" else ("running", "")
    if run["detail"] == WAITS_FOR_ENVIRONMENT:
        task = stored(run["task"], {})
        if wanted.current(swarm.db, "setup", "repository", task["repository"]):
            return "waiting", "The environment of the repository is prepared first."
        setup = wanted.latest(swarm.db, "setup", "repository", task["repository"])
        return "failed", f"The environment of the repository could not be made. {setup['reason'] or '' if setup else ''}".strip()
    if run["outcome"] == "done":
        return ("done" if all(check["result"] != "not_run" for check in checks) else "not_run"), ""
    return "failed", run["reason"] or "The run did not end as it should."
