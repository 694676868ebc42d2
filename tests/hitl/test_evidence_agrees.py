"""Six places say what proves a ticket's criteria: they say the same of each, whatever became of it."""
import json
import re

import pytest
from conftest import build
from flask.testing import FlaskClient
from paging import seen

from engine.config import Config
from engine.delivery import pull_request_text
from engine.store.db import Database
from hitl.views.notes import notes_markdown

TICKET = "TKT-002"
CARD = {"name": "E", "features": [{"title": "One", "acceptance_criteria": [
    {"text": "counts", "check": "test 1"}, {"text": "breaks", "check": "test 2"}, "looks good", {"text": "prints", "check": "test 4"}, "reads well"]}]}
STATES = {"counts": "passed", "breaks": "failed", "looks good": "not checked by a command", "prints": "waived", "reads well": "waived"}
REASONS = {"prints": "No printer here.", "reads well": "It was read."}


@pytest.fixture
def session(client: FlaskClient, db: Database, config: Config) -> str:
    """Run 1 checked; nothing that came after it counts."""
    made = build(db, config, CARD)
    for number, text in ((4, "prints"), (5, "reads well")):
        assert client.post(f"/api/tickets/{TICKET}/waive", json={"criterion": number, "reason": REASONS[text]}).status_code == 200
    checks = [{"text": "counts", "command": "test 1", "exit": 0, "seconds": 1.5, "output": "fine", "passed": True},
              {"text": "breaks", "command": "test 2", "exit": 3, "seconds": 0.5, "output": "broken", "passed": False},
              {"text": "prints", "command": "test 4", "exit": 1, "seconds": 0.5, "output": "no printer", "passed": False}]
    others = [{**check, "passed": not check["passed"]} for check in checks]
    for number, kind, found in ((1, "feature", checks), (2, "feature", []), (3, "recheck", others)):
        db.execute("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, outcome, ended_at, checks)"
                   f" values (?, '{TICKET}', ?, ?, 'ended', 't', 'e', ?, 'failed', '2026-01-01T00:00:00.000Z', ?)",
                   (f"run-{number}", made, kind, number, json.dumps(found)))
    db.execute("update tickets set status = 'failed' where id = ?", (TICKET,))
    return made


def test_json_says_it(client: FlaskClient, session: str) -> None:
    found = client.get(f"/api/hitl/{session}/evidence").json
    assert found["counts"] == {"passed": 1, "failed": 1, "waiting": 0, "waived": 2, "unchecked": 1}
    ticket, = found["tickets"]
    assert (ticket["run"], {each["text"]: each["state"] for each in ticket["criteria"]}) == (
        "run-1", {**STATES, "looks good": "unchecked"})
    assert {each["text"]: each["waived"] for each in ticket["criteria"] if each["waived"]} == REASONS


def test_the_page_of_evidence_says_it(client: FlaskClient, session: str) -> None:
    text = _words(seen(client, f"/sessions/{session}/evidence").text)
    for part in ("1 of 2 checks passed 1 failed 2 waived 1 not checked by a command", "counts test 1 passed", "breaks test 2 failed, exit 3",
                 "looks good not checked by a command", "prints test 4 Waived: No printer here. waived", "reads well Waived: It was read. waived"):
        assert part in text, part


def test_the_page_of_the_ticket_says_it(client: FlaskClient, session: str) -> None:
    text = _words(seen(client, f"/tickets/{TICKET}").text)
    for part in ("1 of 2 passed, 2 waived", "counts passed", "breaks failed, exit 3", "looks good not checked by a command", "prints waived",
                 "Waived: No printer here.", "reads well waived Waived: It was read."):
        assert part in text, part


def test_the_card_on_the_board_says_it(client: FlaskClient, session: str) -> None:
    card = re.search(rf'<li id="card-{TICKET}">.*?</li>', client.get(f"/sessions/{session}").text, re.DOTALL)
    assert card and "<span>1 of 2 passed, 2 waived</span>" in card[0]


def test_the_notes_say_it(db: Database, session: str) -> None:
    story = notes_markdown(db, "default", session)
    for part in ("\n- Passed: counts (`test 1`)\n", "\n- Failed: breaks (`test 2`)\n", "\n- Not checked by a command: looks good\n",
                 "\n- Waived: prints (`test 4`), because: No printer here.\n", "\n- Waived: reads well, because: It was read."):
        assert part in story, part


def test_the_text_of_a_pull_request_says_it(db: Database, config: Config, session: str) -> None:
    text = pull_request_text.body(db, config, db.one("select * from tickets where id = ?", (TICKET,)))
    assert re.findall(r"^- .*", text, re.MULTILINE) == [
        "- [x] counts (`test 1` passed in 1.5 s)", "- [ ] breaks (`test 2` failed in 0.5 s)", "- [ ] looks good (not checked by a command)",
        "- [ ] prints (`test 4` waived: No printer here.)", "- [ ] reads well (waived: It was read.)"]


def test_a_criterion_that_is_only_a_command_is_proved_by_it(client: FlaskClient, db: Database, session: str) -> None:
    """As it can be written by hand: the runner names such a check by its command."""
    db.execute("update tickets set acceptance_criteria = ?", (json.dumps([{"check": "test 5"}, 3, {"check": "test 6"}]),))
    db.execute("update runs set checks = ? where id = 'run-1'", (json.dumps([{"text": "test 5", "command": "test 5", "passed": True, "seconds": "?"},
                                                                             {"text": ["test 6"], "command": {}, "passed": True}, None]),))
    found = client.get(f"/api/hitl/{session}/evidence").json["tickets"][-1]["criteria"]
    assert [(each["number"], each["text"], each["command"], each["state"], each["seconds"]) for each in found] == [
        (1, "test 5", "", "passed", None), (2, "test 6", "", "waiting", None)]
    assert "1 of 2 passed" in client.get(f"/tickets/{TICKET}").text and client.get(f"/sessions/{session}/evidence").status_code == 200
    assert "- [x] test 5 (`test 5` passed" in pull_request_text.body(db, Config(), db.one("select * from tickets where id = ?", (TICKET,)))


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text)
