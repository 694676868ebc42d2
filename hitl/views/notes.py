"""A session's story so far, as Markdown. It is made from the rows and never from the journal, because the journal is pruned."""
import re
from datetime import datetime
from typing import Any

from engine.result_values import checks_of
from engine.store.db import Database
from engine.text import stored
from engine.tickets import actions, evidence, usage
from engine.tickets.evidence import Proof
from engine.tickets.rows import RequestRow, RunRow, TicketRow
from engine.tickets.same_question import ASSUMED, is_assumed
from engine.tickets.session_rows import AmendmentRow, MessageRow, QuestionRow, SessionRow, SpecVersionRow
from hitl.card.coverage import LABELS
from hitl.session import questions, sessions
from hitl.views import usage as used
from hitl.views.board import counts
from hitl.views.deliveries import delivery_lines
from hitl.web.filters import word


def notes_markdown(db: Database, tenant: str, session_id: str) -> str:
    """The idea, the questions with answers and assumptions, the card versions, the approval and the amendments, then each ticket with its runs,
    checks, branch and durations. Raises NotFound."""
    session = sessions.get(db, tenant, session_id)
    features = db.pairs("select status, count(*) from tickets where session_id = ? and type <> 'epic' group by status", (session_id,))
    parts = [f"# {_line(session['project_name'])}", *_head(session, usage.of_session(db, session_id), features), *_said(db, session_id),
             *_asked(db, session_id), *_card(db, session), *_amendments(db, session_id)]
    tickets = db.all("select * from tickets where session_id = ? order by seq", (session_id,), TicketRow)
    runs: dict[str, list[RunRow]] = {}
    for run in db.all("select r.* from runs r join tickets t on t.id = r.ticket_id where t.session_id = ? order by r.seq", (session_id,), RunRow):
        runs.setdefault(run["ticket_id"], []).append(run)
    if tickets:
        parts.append("## Tickets")
    steered = {row[0] for row in db.all("select s.ticket_id from ticket_steers s join tickets t on t.id = s.ticket_id where t.session_id = ?",
                                        (session_id,))}
    spent, proofs = usage.of_tickets(db, session_id), evidence.of_tickets(db, "t.session_id = :session", {"session": session_id})
    delivered = delivery_lines(db, session_id)
    for ticket in tickets:
        told = actions.steers(db, ticket["id"]) if ticket["id"] in steered else []
        parts.append(_ticket(ticket, spent.get(ticket["id"]), runs.get(ticket["id"], []), proofs.get(ticket["id"], []), told,
                             delivered.get(ticket["id"], "")))
    parts += _requests(db, session_id)
    return "\n\n".join(parts) + "\n"


def _head(session: SessionRow, spent: dict[str, Any], features: dict[str, int]) -> list[str]:
    state = session["state"] + (", paused" if session["paused"] else "") + (f": {_line(session['reason'])}" if session["reason"] else "")
    facts = [f"- Session: `{session['id']}`", f"- State: {state}", f"- Started: {_time(session['created_at'])}",
             f"- Last change: {_time(session['updated_at'])}", *([f"- Progress: {counts(features)[2]}"] if features else []),
             *([f"- Used: {_line(used.line(spent))}"] if spent["requests"] else [])]
    quoted = _quoted(session["description"])
    return [quoted, "\n".join(facts)] if quoted else ["\n".join(facts)]


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _said(db: Database, session_id: str) -> list[str]:
    rows = db.all("select * from messages where session_id = ? order by seq", (session_id,), MessageRow)
    parts = [f"{_time(row['created_at'])}{_made(row)}:\n\n{_quoted(row['body'])}" for row in rows]
    return ["## Messages", *parts] if parts else []


def _asked(db: Database, session_id: str) -> list[str]:
    """The answered questions, then the assumptions."""
    rows = questions.asked(db, session_id)
    answered = [f"{row['number']}. {_line(row['body'])}\n   - {_line(row['answer'])} ({row['answered_by']}, {_time(row['answered_at'] or '')}{_made(row)})"
                for row in rows if row["state"] == "answered"]
    assumed = [f"- {LABELS[row['topic']]}: {_line(row['answer'])} (not answered: “{_line(row['body'])}”{_made(row)})"
               for row in rows if row["state"] == "assumed"]
    parts = ["## Questions and answers", "\n".join(answered)] if answered else []
    return parts + (["## Assumptions", "\n".join(assumed)] if assumed else [])


def _made(row: QuestionRow | MessageRow) -> str:
    return f", version {row['to_version']}" if row["to_version"] != row["from_version"] else ""


def _amendments(db: Database, session_id: str) -> list[str]:
    rows = db.all("select * from amendments where session_id = ? order by seq", (session_id,), AmendmentRow)
    lines = []
    for row in rows:
        when = f"{row['state']} {_time(row['decided_at'])} by {row['decided_by']}" if row["decided_at"] else "waits for approval"
        made = f", version {row['version']}" if row["version"] else ""
        lines.append(f"- Proposed {_time(row['created_at'])}, {when}{made}: `{row['sha256']}`")
        delta = stored(row["delta"], {})
        lines += [f"  - added: {_line(each.get('title', ''))}" for each in delta.get("add", [])]
        lines += [f"  - changed: {_line(each['ticket'])} ({_line(', '.join(each['set']))})" for each in delta.get("change", [])]
        lines += [f"  - dropped: {_line(each)}" for each in delta.get("drop", [])]
    return ["## Amendments", "\n".join(lines)] if lines else []


def _card(db: Database, session: SessionRow) -> list[str]:
    versions = db.all("select version, sha256, source, created_at from spec_versions where session_id = ? order by version", (session["id"],), SpecVersionRow)
    lines = [f"- Version {row['version']}, {_time(row['created_at'])}, from: {row['source']} (`{row['sha256'][:12]}`)" for row in versions]
    if session["approved_at"]:
        first = db.value("select base_sha256 from amendments where session_id = ? and state = 'approved' order by seq limit 1", (session["id"],))
        lines.append(f"- Approved {_time(session['approved_at'])}: `{first or session['approved_sha256'] or ''}`")
    return ["## Spec card", "\n".join(lines)] if lines else []


def _ticket(ticket: TicketRow, spent: dict[str, Any] | None, runs: list[RunRow], proofs: list[Proof],
            steers: list[dict[str, Any]], delivered: str) -> str:
    lines = [f"### {ticket['id']} {_line(ticket['title'])}", "", f"- {ticket['type'].capitalize()}, {ticket['status'].replace('_', ' ')}"
             + (f": {_line(ticket['reason'])}" if ticket["reason"] else "")]
    if ticket["branch_name"]:
        lines.append(f"- Branch: `{ticket['branch_name']}`" + (f", merged as `{ticket['merged_sha'][:12]}`" if ticket["merged_sha"] else ""))
    if delivered:
        lines.append(f"- Delivery: {_line(delivered)}")
    if ticket["pr_url"]:
        lines.append(f"- Pull request: <{_line(ticket['pr_url'])}>")
    if spent and spent["requests"]:
        lines.append(f"- Used: {_line(used.line(spent))}")
    for run in runs:
        what = (run["outcome"] or run["state"]).replace("_", " ")
        by = f" in {run['runtime']} by {run['agent']}" if run["runtime"] and run["agent"] else ""
        took = _seconds(run["started_at"], run["ended_at"])
        cost = used.brief(stored(run["usage"], {}))
        lines.append(f"- Run {run['run_no']} ({run['kind']}{by}): {what}{took}{f', {_line(cost)}' if cost else ''}"
                     + (f". {_line(run['reason'])}" if run["reason"] else ""))
        lines += [_check(check) for check in checks_of(stored(run["checks"], []))]
    lines += [_criterion(proof) for proof in proofs]
    lines += [f"- {each['kind'].capitalize()} by you, {_time(each['created_at'])}: {_line(each['body'])}"
              + (f" ({each['note']})" if each["note"] else "") for each in steers]
    return "\n".join(lines)


def _criterion(proof: Proof) -> str:
    """A criterion with its latest state."""
    command, why = f" (`{_code(proof.command)}`)" if proof.command else "", f", because: {_line(proof.waived)}" if proof.waived else ""
    former = f"\n  - in run {proof.former}, not checked again yet" if proof.former else ""
    story = f", {evidence.story(proof)}" if evidence.story(proof) else ""
    return f"- {word(proof.state).capitalize()}: {_line(proof.text)}{command}{why}{story}{former}"


def _check(check: dict[str, Any]) -> str:
    return f"  - {'passed' if check.get('passed') else 'failed'}: {_line(check.get('text') or '')} (`{_code(check.get('command') or '')}`)"


def _code(command: object) -> str:
    return " ".join(str(command).splitlines()).replace("`", "'")


def _requests(db: Database, session_id: str) -> list[str]:
    rows = db.all("select * from requests where session_id = ? order by seq", (session_id,), RequestRow)
    lines = [f"- {row['ticket_id'] or 'Session'}, {row['kind']}: {_line(row['body'])}\n  - {_answered(row)}"
             + (f", {_time(row['answered_at'] or '')}: {_line(row['answer'])}" if row["answer"] else "") for row in rows]
    return ["## Requests", "\n".join(lines)] if lines else []


def _answered(row: RequestRow) -> str:
    """'answered by you', 'open', or that nobody answered."""
    if is_assumed(row["answered_by"]):
        return f"taken by assumption, because nobody answered in time{(row['answered_by'] or '').removeprefix(ASSUMED)}"
    return f"{row['state']} by {row['answered_by']}" if row["answer"] else row["state"]


def _line(text: object) -> str:
    """Foreign text on one line, so that it cannot become a heading, a list or HTML of this document."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(str(text).split()))


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:19]} UTC"


def _seconds(began: str | None, ended: str | None) -> str:
    if not began or not ended:
        return ""
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return f" after {seconds:.1f} s" if seconds < 120 else f" after {seconds / 60:.0f} min"
