"""What proves each criterion of a build: of all tickets of a session, from the newest run of each that ran checks."""
from collections import Counter
from typing import Any

from engine.store.db import Database
from hitl.session import sessions
from hitl.web.filters import number
from hitl.web.strict_json import stored

STATES = ("passed", "failed", "waiting", "waived", "unchecked")
_OF_CRITERION = ("number", "text", "command", "state", "exit", "seconds", "waived")
PAGE = 100  # tickets in one answer


def evidence_view(db: Database, tenant: str, session_id: str, after: int = 0, limit: int = PAGE) -> dict[str, Any]:
    """{"counts": {state: criteria of the whole session}, "tickets": [{seq, ticket, type, title, status, run, criteria: [{number, text, command, state,
    exit, seconds, waived}]}], "next": the cursor for `after`, or None}: at most `limit` tickets that have criteria, the epic with its checks on
    the whole first. Dropped tickets are left out. The output of a check is with its ticket. Raises NotFound.

    state: passed or failed by its command, waiting for its first run, waived by a person, or unchecked: there is no command."""
    sessions.get(db, tenant, session_id)
    rows = db.all("select t.seq, t.id, t.type, t.title, t.status, t.acceptance_criteria, r.id as run, r.checks from tickets t left join runs r on r.seq ="
                  " (select max(seq) from runs where ticket_id = t.id and checks <> '[]' and kind <> 'recheck')"
                  " where t.session_id = ? and t.status <> 'cancelled'"
                  " and t.acceptance_criteria <> '[]' order by t.seq", (session_id,))
    counts, shown, following = Counter[str](), list[dict[str, Any]](), False
    for row in rows:
        found = evidence(_criteria(row), [each for each in stored(row["checks"], []) if isinstance(each, dict)])
        counts.update(each["state"] for each in found)
        if row["seq"] > after and found and not following:
            following = len(shown) == limit
            shown += [] if following else [{"seq": row["seq"], "ticket": row["id"], **{name: row[name] for name in ("type", "title", "status", "run")},
                                            "criteria": [{name: each[name] for name in _OF_CRITERION} for each in found]}]
    return {"counts": {state: counts[state] for state in STATES}, "tickets": shown, "next": shown[-1]["seq"] if following else None}


def evidence(criteria: list[Any], checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each criterion with what proves it: the check of the newest run that ran checks, 'unchecked' where there is no command."""
    results = {(check.get("text"), check.get("command")): check for check in checks}
    found = []
    for place, item in enumerate(criteria, 1):
        text, command = (item, "") if isinstance(item, str) else (str(item.get("text", "")), str(item.get("check", "")))
        check = results.get((text, command)) if command else None
        waived = "" if isinstance(item, str) else str(item.get("waived") or "")
        state = "waived" if waived else "unchecked" if not command else "waiting" if check is None else "passed" if check.get("passed") else "failed"
        found.append({"text": text, "command": command if command != text else "", "state": state, "number": place, "waived": waived,
                      "exit": (check or {}).get("exit") if state == "failed" else None,
                      "output": (check or {}).get("output") or "",
                      "seconds": (check or {}).get("seconds")})
    return found


def evidence_text(found: list[dict[str, Any]]) -> str:
    checked = [each for each in found if each["state"] not in ("unchecked", "waived")]
    passed = sum(each["state"] == "passed" for each in checked)
    if not checked:
        return ""
    return f"{passed} of {len(checked)} passed" if any(each["state"] != "waiting" for each in checked) else f"{number(len(checked), 'check')} to run"


def _criteria(row: Any) -> list[Any]:
    return [item for item in stored(row["acceptance_criteria"], []) if isinstance(item, str | dict)]


def unchecked(db: Database, session_id: str) -> int:
    """How many criteria of a session no command checks, but for those that a person waived."""
    return int(db.value("select count(*) from tickets t, json_each(iif(json_valid(t.acceptance_criteria), t.acceptance_criteria, '[]')) c"
                        " where t.session_id = ? and t.status <> 'cancelled' and (c.type = 'text' or (c.type = 'object'"
                        " and coalesce(json_extract(c.value, '$.check'), '') = '' and coalesce(json_extract(c.value, '$.waived'), '') = ''))", (session_id,)))


def in_words(counts: dict[str, int]) -> list[str]:
    """['31 of 40 checks passed', '2 failed', '5 not checked by a command']."""
    checked = counts["passed"] + counts["failed"] + counts["waiting"]
    said = [f"{counts['passed']} of {checked} {'check' if checked == 1 else 'checks'} passed"] if checked else []
    words = {"failed": "failed", "waiting": "not checked yet", "waived": "waived", "unchecked": "not checked by a command"}
    return said + [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
