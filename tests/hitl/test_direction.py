"""Texts of people and agents run in their own direction: from the right, where their first letter says so."""
import json
from html.parser import HTMLParser

import pytest
from paging import VOID, build, live_run

from engine.tickets import actions, requests

RTL = "\u05e9\u05dc\u05d5\u05dd"  # a word that runs from the right
CARD = {"name": f"{RTL} 1", "description": f"{RTL} 2", "checks": [f"test -d {RTL}3"], "technical_requirements": [f"{RTL} 4"], "features": [
    {"title": f"{RTL} 5", "description": f"{RTL} 6", "acceptance_criteria": [f"{RTL} 7", {"text": f"{RTL} 8", "check": "true"}]},
    {"title": f"{RTL} 9", "depends_on": [f"{RTL} 5"]}]}


class Directions(HTMLParser):
    """wrong: [(the elements around a text from the right, the text)] without dir="auto" around it. Titles, options and drawings have none."""

    def __init__(self, html):
        super().__init__()
        self.open, self.wrong, self.found = [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if RTL in (attrs.get("value") or "") and tag == "input" and attrs.get("type") != "hidden" and attrs.get("dir") != "auto":
            self.wrong.append((tag, attrs))
        if tag not in VOID:
            self.open.append((tag, attrs.get("dir"), attrs.get("class")))

    def handle_startendtag(self, tag, attrs):
        return  # a closed element has no text

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        if RTL not in data or {"title", "option", "svg"} & {tag for tag, _, _ in self.open}:
            return
        self.found += 1
        if next((way for _, way, _ in reversed(self.open) if way), None) != "auto":
            self.wrong.append((self.open[-3:], data.strip()[:60]))


def shown(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, path
    page = Directions(answer.text)
    assert not page.wrong, (path, page.wrong)
    return page.found


@pytest.fixture
def path(client, db):
    """A build with a question, a failure, a review and a log, all of whose words run from the right."""
    path = build(client, CARD)
    run = live_run(db, "TKT-002", f"::phase agent x\n{RTL} in a log\n".encode())
    checks = [{"text": f"{RTL} 8", "command": "true", "passed": False, "output": f"{RTL} o"}]
    db.execute("update runs set reason = ?, checks = ?", (f"{RTL} r", json.dumps(checks)))
    row = db.one("select * from tickets where id = 'TKT-002'")
    requests.open_question(db, row, run, f"{RTL} q?", [f"{RTL} a", f"{RTL} b"])
    actions.tell(db, "default", "TKT-002", f"{RTL} said")
    db.execute("update tickets set reason = ? where id <> 'TKT-002'", (f"{RTL} why",))
    db.execute("update tickets set status = 'needs_input' where id = 'TKT-002'")
    db.execute("update tickets set status = 'failed' where id = 'TKT-003'")
    return path


@pytest.mark.parametrize("part", ["", "/graph", "/evidence", "/spec", "/versions", "/amend", "/amend?add=1", "/notes"])
def test_the_pages_of_a_build(client, path, part):
    assert shown(client, path + part) >= 2


@pytest.mark.parametrize("page", ["/", "/?new=1", "/inbox", "/tickets/TKT-001", "/tickets/TKT-002", "/tickets/TKT-003", "/tickets/TKT-002/history",
                                  "/tickets/TKT-002/changes"])
def test_the_pages_beside_it(client, path, page):
    assert shown(client, page) >= (0 if "new" in page else 1)


def test_the_pages_before_a_build(client):
    made = client.post("/api/hitl", json={"project_name": f"{RTL} p", "spec_card": CARD}).json
    for part in ("", "?edit=0", "?split=0", "?add=1", "/json", "/versions", "/notes"):
        assert shown(client, f"/sessions/{made['id']}{part}")
    client.post(f"/api/hitl/{made['id']}/approve", json={"spec_sha256": made["spec_sha256"]})
    assert shown(client, f"/sessions/{made['id']}")
    talk = client.post("/api/hitl", json={"project_name": f"{RTL} p", "description": f"{RTL} d"}).json["id"]
    client.post(f"/api/hitl/{talk}/messages", json={"text": f"{RTL} an idea"})
    client.post(f"/api/hitl/{talk}/questions/1/answer", json={"text": f"{RTL} an answer"})
    assert shown(client, f"/sessions/{talk}") and shown(client, f"/sessions/{talk}/notes")
