"""The text of a pull request: the card, each feature with its proof, a link, trailers. People read it on a foreign page."""
import re

from engine.config import Config
from engine.delivery.leaks import redacted
from engine.store.db import Database
from engine.text import one_line
from engine.tickets import evidence
from engine.tickets.rows import RunRow, TicketRow

LONGEST = 60_000        # characters; forges take 65,536
LONGEST_PART = 4000     # of one description
MOST_FEATURES = 200


def known_secrets(config: Config) -> dict[str, str]:
    """{setting: value} of the secrets that must never leave this machine."""
    values = {each.name: getattr(config, each.name) for each in config.__dataclass_fields__.values() if each.metadata["secret"]}
    if config.forge_token_file is not None and config.forge_token_file.is_file():
        values["forge_token_file"] = config.forge_token_file.read_text(encoding="utf-8", errors="replace").strip()
    return {f"SWARM_{name.upper()}": str(value) for name, value in values.items() if value}


def title(config: Config, ticket: TicketRow) -> str:
    return redacted(f"{ticket['id']}: {_line(ticket['title'])}"[:200], known_secrets(config))


def body(db: Database, config: Config, ticket: TicketRow) -> str:
    """Markdown. ticket: the row of an epic, or of a feature with a pull request of its own."""
    link = f"{config.public_url.rstrip('/')}/tickets/{ticket['id']}" if config.public_url else ""
    parts = [_text(ticket["description"])] if ticket["description"].strip() else []
    if ticket["type"] == "epic":
        checks = _evidence(db, ticket)
        parts += ["## Checks on the whole", checks] if checks else []
        rows = db.all("select * from tickets where parent_id = ? and status = 'completed' order by seq limit ?", (ticket["id"], MOST_FEATURES + 1), TicketRow)
        for feature in rows[:MOST_FEATURES]:
            parts += [f"### {feature['id']} {_line(feature['title'])}", _evidence(db, feature) or "It has no criteria."]
        parts += ["There are more tickets than this list shows."] if len(rows) > MOST_FEATURES else []
    else:
        parts += ["## Done means", _evidence(db, ticket) or "It has no criteria."]
    parts += [f"More: {link}"] if link else []
    text = redacted("\n\n".join(parts), known_secrets(config))
    text = text if len(text) <= LONGEST else text[:LONGEST] + "\n\n… cut here"
    return f"{text}\n\n---\n{_trailers(db, ticket)}"


def _evidence(db: Database, ticket: TicketRow) -> str:
    """Each criterion with its proof."""
    return "\n".join(f"- {'[x]' if proof.state == 'passed' else '[ ]'} {_line(proof.text)[:1000]} ({_how(proof)})"
                     for proof in evidence.of_ticket(db, ticket["id"]))


def _how(proof: evidence.Proof) -> str:
    command = f"`{_line(proof.command)[:300]}`" if proof.command else ""
    if proof.state == "waived":
        return f"{command} waived: {_line(proof.waived)[:1000]}".strip()
    if proof.state == "unchecked":
        return "not checked by a command"
    story = evidence.story(proof)
    return f"{command} was not run" if proof.state == "waiting" else f"{command} {proof.state} in {proof.seconds or 0:.1f} s{f', {story}' if story else ''}"


def _trailers(db: Database, ticket: TicketRow) -> str:
    agents = [run["agent"] or "" for run in db.all("select distinct r.agent from runs r join tickets t on t.id = r.ticket_id where r.outcome = 'merged'"
                                       " and r.agent is not null and ? in (t.id, t.parent_id) order by 1", (ticket["id"],), RunRow)]
    return f"Ticket: {ticket['id']}\nSession: {ticket['session_id']}\nAssisted-by: HITL Swarm" + (f" ({', '.join(agents)})" if agents else "")


def _line(text: object) -> str:
    """One line that mentions nobody (with an @) and hides nothing."""
    return _quiet(one_line(text)).replace("`", "'")


def _text(text: str) -> str:
    return _quiet(text.strip()[:LONGEST_PART] + ("…" if len(text.strip()) > LONGEST_PART else ""))


def _quiet(text: str) -> str:
    return re.sub(r"(?<!\w)@(?=\w)", "@\u200b", text.replace("<!--", "&lt;!--").replace("\0", ""))
