"""The deliveries of a build to a repository elsewhere, for JSON and for pages."""
import re
from typing import Any
from urllib.parse import quote, urlsplit

from engine.config import Config
from engine.store.db import Database
from engine.tickets.rows import DeliveryRow, ForgeFactRow
from hitl.session import sessions
from hitl.web.filters import weblink

SHOWN = ("ticket_id", "state", "repository", "branch", "base_branch", "tip_sha", "pushed_sha", "forge", "project", "number", "pr_url", "waiting", "tries",
         "rounds", "not_before", "reason", "created_at", "updated_at")
MOST_SHOWN = 50     # comments of one pull request that were not taken up
_PEOPLE = "f.fingerprint glob 'rights:*' or f.fingerprint glob 'unknown:*'"
WHY = {"rights": "its author may not write to the repository", "unknown": "the forge does not say whether its author may write to the repository"}


def deliveries_view(db: Database, tenant: str, session_id: str) -> list[dict[str, Any]]:
    """The deliveries of a session, the epic's first, each with the comments that were not taken up. Raises NotFound."""
    sessions.get(db, tenant, session_id)
    rows = db.all(f"select {', '.join(SHOWN)} from deliveries where session_id = ? order by seq", (session_id,), DeliveryRow)
    return [{**dict(row), "not_taken_up": not_taken_up(db, row["ticket_id"])} for row in rows]


def not_taken_up(db: Database, ticket_id: str) -> dict[str, Any]:
    """{"people": [{"head", "text", "why"}], newest first, "more": how many are not in it, "bots": {name: comments}}: comments on a ticket's pull request
    that started no run. head and text are foreign."""
    facts = db.all("select f.* from forge_facts f join deliveries d on d.seq = f.delivery where d.ticket_id = ? and f.kind = 'remark'"
                   f" and ({_PEOPLE} or f.fingerprint glob 'bot:*') order by f.seq desc", (ticket_id,), ForgeFactRow)
    people, bots = [], dict[str, int]()
    for fact in facts:
        head, _, said = fact["body"].partition("\n")
        why = fact["fingerprint"].partition(":")[0]
        if why == "bot":
            name = head.partition(" wrote")[0]
            bots[name] = bots.get(name, 0) + 1
        else:
            people.append({"head": head.removesuffix(":"), "text": said, "why": WHY[why]})
    return {"people": people[:MOST_SHOWN], "more": max(0, len(people) - MOST_SHOWN), "bots": bots}


def people_not_taken_up(db: Database, session_id: str) -> list[tuple[str, int]]:
    """[(ticket, comments of people on its pull request that were not taken up)]"""
    rows = db.all("select d.ticket_id, count(*) from deliveries d join forge_facts f on f.delivery = d.seq where d.session_id = ? and f.kind = 'remark'"
                  f" and ({_PEOPLE}) group by d.seq order by d.seq", (session_id,))
    return [(str(row[0]), int(row[1])) for row in rows]


def delivery_of(db: Database, config: Config, ticket_id: str) -> dict[str, Any] | None:
    """Where a ticket's branch is, or will be, for people: {branch, branch_url, where: what is done with it, repository and end, is_there, pr_url};
    None if the ticket has no delivery of its own. The addresses are None unless they are on the forge of that repository."""
    row = db.one("select * from deliveries where ticket_id = ?", (ticket_id,), DeliveryRow)
    if row is None:
        return None
    web, tree, project = _pages(config, row)
    is_there = row["pushed_sha"] is not None and row["state"] != "dropped"
    return {"branch": row["branch"], "branch_url": f"{web}/{quote(project)}/{tree}/{quote(row['branch'])}" if web and is_there else None,
            "where": _where(row), "is_there": is_there, "pr_url": weblink(row["pr_url"], web)}


def delivery_lines(db: Database, session_id: str) -> dict[str, str]:
    """{ticket: where its branch is, or will be, as one line} for the tickets of a session that have a delivery of their own."""
    return {row["ticket_id"]: f"{row['branch']} {_where(row)}"
            for row in db.all("select * from deliveries where session_id = ? order by seq", (session_id,), DeliveryRow)}


def _where(row: DeliveryRow) -> str:
    said = {"intended": "to be pushed to", "dropped": "not delivered to"}.get(row["state"], "pushed to")
    ended = {"merged": ", merged there", "closed": ", closed there"}.get(row["state"], "")
    return f"{said} {row['repository']}{ended}" + (f". {row['reason']}" if row["reason"] and not ended and row["state"] != "done" else "")


def _pages(config: Config, row: DeliveryRow) -> tuple[str, str, str]:
    """(scheme://host of the forge's pages, what comes before a branch's name there, the project); '' for a plain git remote."""
    given = row["repository"]
    url = given if ":" in given or given.startswith("/") else config.repository_url.replace("{repository}", given)
    found = re.fullmatch(r"(?:https?://|ssh://)?(?:[^@/]+@)?([A-Za-z0-9.-]+)(?::\d+)?[:/](.+)", url)
    if found is None or url.startswith("/"):
        return "", "", ""
    host, project = found[1].lower(), row["project"] or found[2].strip("/").removesuffix(".git")
    own = urlsplit(config.forge_url)
    web = f"{own.scheme}://{own.netloc}" if own.hostname == host else f"https://{host}" if host in ("github.com", "gitlab.com") else ""
    return web, "-/tree" if (row["forge"] or ("gitlab" if "gitlab" in host else "")) == "gitlab" else "tree", project
