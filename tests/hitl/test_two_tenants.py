"""Who asks for what belongs to another tenant gets, on every route, exactly the answer that an unknown id gets."""
import re
from typing import Any

import pytest
from conftest import build
from flask import Flask
from flask.testing import FlaskClient

from engine.config import Config
from engine.environments.steps import Steps
from engine.repositories import sources, versions
from engine.runs import wanted
from engine.store.db import Database

SHA, KEY = "a" * 64, "b" * 64
CARD = {"name": "Theirs", "repository": "theirs/secret", "features": [{"title": "Hidden"}]}
NUMBERS = {"number": "1", "version": "1", "comment": "1", "seq": "1", "key": KEY}
# What a route needs in its body before it looks at the id.
BODIES: dict[str, Any] = {
    "approve": {"spec_sha256": SHA, "sha256": SHA, "tip": SHA}, "start-build": {"confirmed": True}, "spec-card": {"name": "N", "features": [{"title": "F"}]},
    "import": {"markdown": "# N\n## F"}, "amend": {"add": [{"title": "N"}]}, "messages": {"text": "Say"}, "answer": {"answer": "Yes"},
    "message": {"text": "Say"}, "waive": {"criterion": 1, "reason": "R"}, "edit": {"title": "T"}, "comments": {"tip": SHA, "path": "p", "line": 1, "body": "b"},
    "viewed": {"tip": SHA, "path": "p"}, "request-changes": {"comments": "c"}, "skip": {}, "edit-answer": {"answer": "Yes"}}
IDS = ("session_id", "ticket_id", "run_id", "repository_id", "seq")


@pytest.fixture
def theirs(app: Flask, db: Database, config: Config) -> dict[str, str]:
    """One of everything, of the tenant `other`."""
    session = build(db, config, CARD, tenant="other")
    ticket = str(db.value("select id from tickets where session_id = ? and type = 'feature'", (session,)))
    repository = sources.row_for(db, config, "other", "theirs/secret")
    versions.propose(db, repository, Steps(setup=("true",)), "page")
    db.execute("insert into requests (seq, tenant_id, session_id, ticket_id, kind, body) values (777777, 'other', ?, ?, 'question', 'Which?')",
               (session, ticket))
    run = wanted.want(db, "setup", "repository", repository["id"], "other", {})
    return {"session_id": session, "ticket_id": ticket, "repository_id": repository["id"], "run_id": run["id"],
            "seq": "777777"}


def routes(app: Flask) -> list[tuple[str, str]]:
    """(method, rule) of every route that has an id."""
    return sorted((method, rule.rule) for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
                  if set(rule.arguments) & set(IDS))


def address(rule: str, ids: dict[str, str], alternative: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: ids.get(found[1]) or NUMBERS[found[1]], re.sub(r"<any\([^>]*>", alternative, rule))


def test_what_belongs_to_another_tenant_is_as_unknown_as_what_does_not_exist(app: Flask, client: FlaskClient, db: Database, theirs: dict[str, str]) -> None:
    unknown = {"session_id": "00000000-0000-4000-8000-000000000000", "ticket_id": "TKT-999999", "repository_id": "0" * 16, "run_id": "setup-0-1-0",
               "seq": "999999"}
    rows = {table: db.value(f"select count(*) from {table}") for table in ("runs", "requests", "tickets", "hitl_sessions", "environment_versions")}
    asked, wrong = 0, []
    for method, rule in routes(app):
        found = re.search(r"<any\(([^)]*)\)", rule)
        for alternative in [each.strip(" '\"") for each in found[1].split(",")] if found else [""]:
            answers = []
            for ids in (theirs, unknown):
                path = address(rule, ids, alternative)
                last = path.rstrip("/").rpartition("/")[2]
                how: dict[str, Any] = {}
                if method in ("POST", "PUT", "PATCH", "DELETE"):
                    body = BODIES.get(last, {})
                    how = {"json": body} if path.startswith("/api/") else {"data": {"text": "Words", "option": "Yes", "tip": SHA, "sha256": SHA, **{
                        name: str(value) for name, value in body.items() if isinstance(value, str | int)}}}
                answer = client.open(path, method=method, **how)
                text = answer.get_data(as_text=True)
                for name in IDS:
                    text = text.replace(ids[name], name)
                answers.append((answer.status_code, text))
            asked += 1
            if answers[0][0] != 404 or answers[0] != answers[1]:
                wrong.append((method, rule, alternative, answers[0][0], answers[1][0], answers[0][1][:200]))
    assert asked > 80 and not wrong, "\n".join(map(str, wrong))
    assert rows == {table: db.value(f"select count(*) from {table}") for table in rows}
    assert db.value("select count(*) from requests where state = 'open'") == 1


def test_no_list_has_what_belongs_to_another_tenant(app: Flask, client: FlaskClient, theirs: dict[str, str]) -> None:
    for rule in sorted(rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or set()) and not rule.arguments and rule.rule != "/ws"):
        text = client.get(rule).get_data(as_text=True)
        held = [name for name, value in theirs.items() if name != "seq" and value in text]
        assert not held and "theirs/secret" not in text, (rule, held)
