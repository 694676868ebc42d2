"""Whole numbers from outside: one reading, whoever asks."""
import pytest
from conftest import build
from flask.testing import FlaskClient
from paging import live_run
from serving import CARD

from engine.config import Config
from engine.store.db import Database
from hitl.web.numbers import is_whole, whole_number

NONE = ("", " ", "-1", "+1", "1.0", "1_0", " 1", "1\n", "²", "１", "٣", "x", "1" * 19)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_whole_number_is_none(text: str) -> None:
    assert whole_number(text) is None


def test_a_number_is_taken_within_its_bounds_only() -> None:
    assert [whole_number(text, 1, 10) for text in ("0", "1", "007", "10", "11")] == [None, 1, 7, 10, None]
    assert whole_number("0", most=-1) is None, "of an empty list"
    assert [is_whole(value, 0, 5) for value in (0, 5, 6, -1, True, 1.0, "1", None)] == [True, True, False, False, False, False, False, False]


@pytest.mark.parametrize("text", [text for text in NONE if text])
def test_pages_and_json_answer_what_is_no_number_and_never_fail(client: FlaskClient, db: Database, config: Config, text: str) -> None:
    session = build(db, config, CARD)
    run = live_run(db, "TKT-002")
    draft = client.post("/api/hitl", json={"project_name": "P", "spec_card": CARD}).json["id"]
    query = {"after": text}
    assert client.get(f"/api/hitl/{session}/evidence", query_string=query).status_code == 400
    assert client.get("/tickets/TKT-002/log", query_string={"run": run, **query}).status_code == 400
    assert client.post("/tickets/TKT-003/waive", data={"criterion_number": text, "reason": "r"}).status_code == 400
    for path in (f"/sessions/{session}/evidence", "/"):
        assert client.get(path, query_string=query).status_code == 200
    for form in ({"what": "feature", "title": "T"}, {"what": "split", "take": text}, {"what": "remove"}):
        answer = client.post(f"/sessions/{draft}/card", data={**form, "place": text})
        assert answer.status_code == 400 and "The card no longer has this feature. Load the page again." in answer.text
    assert client.get(f"/sessions/{draft}", query_string={"edit": text}).status_code == 200
    assert client.post(f"/sessions/{draft}/restore", data={"version": text}).status_code == 404
