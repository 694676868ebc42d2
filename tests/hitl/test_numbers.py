"""Whole numbers from outside: one reading, whoever asks."""
import re
from collections.abc import Iterator

import pytest
from conftest import build
from flask import Flask
from flask.testing import FlaskClient
from paging import live_run
from serving import CARD

from engine.config import Config
from engine.store.db import Database
from hitl.web.input import WholeNumber
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
    shown = 400 if len(text) == 19 else 200  # no row can have this number
    for path in (f"/sessions/{session}/evidence", "/"):
        assert client.get(path, query_string=query).status_code == shown
    for form in ({"what": "feature", "title": "T"}, {"what": "split", "take": text}, {"what": "remove"}):
        answer = client.post(f"/sessions/{draft}/card", data={**form, "place": text})
        assert answer.status_code == 400 and "The card no longer has this feature. Load the page again." in answer.text
    assert client.get(f"/sessions/{draft}", query_string={"edit": text}).status_code == shown
    assert client.post(f"/sessions/{draft}/restore", data={"version": text}).status_code == 404


TOO_LARGE = ("9223372036854775808", "99999999999999999999", "9" * 5000, "0" * 30 + "1" * 20)
QUERIES = ("after", "line", "limit", "asked", "edit", "split", "start", "page")


@pytest.fixture
def parts(client: FlaskClient, db: Database, config: Config) -> dict[str, str]:
    """Names of what exists, for the variable parts of addresses."""
    session = build(db, config, CARD)
    run = live_run(db, "TKT-002")
    draft = client.post("/api/hitl", json={"project_name": "P", "spec_card": CARD}).json["id"]
    return {"session_id": session, "ticket_id": "TKT-002", "run": run, "draft": draft}


def addresses(app: Flask, parts: dict[str, str], number: str) -> Iterator[tuple[str, str, bool]]:
    """(method, address, whether it contains the number) for each route of the application."""
    for rule in app.url_map.iter_rules():
        whole = [name for name, converter in rule._converters.items() if isinstance(converter, WholeNumber)]
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            path = rule.rule
            for name in rule.arguments:
                path = re.sub(rf"<(?:[^<>]*:)?{name}>", number if name in whole else parts.get(name, "x"), path)
            yield method, path, bool(whole)


@pytest.mark.parametrize("number", TOO_LARGE, ids=lambda number: number[:20])
def test_a_number_in_an_address_that_no_row_can_have_is_refused_on_every_route(app: Flask, client: FlaskClient, parts: dict[str, str], number: str) -> None:
    seen = 0
    for method, path, whole in addresses(app, parts, number):
        if whole:
            answer = client.open(path, method=method, json={} if path.startswith("/api/") else None)
            assert answer.status_code == 400 and "too large" in answer.text, path
            seen += 1
    assert seen >= 6


@pytest.mark.parametrize("number", TOO_LARGE, ids=lambda number: number[:20])
def test_no_route_fails_for_a_number_of_the_query_that_no_row_can_have(app: Flask, client: FlaskClient, parts: dict[str, str], number: str) -> None:
    refused = set()
    for method, path, _ in addresses(app, parts, "1"):
        if method == "GET" and path != "/ws":
            for place in (path, path.replace(parts["session_id"], parts["draft"])):
                for name in QUERIES:
                    with client.get(place, query_string={name: number, "run": parts["run"]}) as answer:
                        assert answer.status_code < 500, (place, name)
                        refused |= {name} if answer.status_code == 400 else set()
    assert refused >= set(QUERIES)


def test_numbers_of_addresses_that_rows_could_have_are_only_not_found(client: FlaskClient) -> None:
    assert client.post(f"/requests/{10**18 - 1}/answer", data={"text": "x"}).status_code == 404
    assert client.post("/requests/007/answer", data={"text": "x"}).status_code == 404
    assert client.post("/requests/-1/answer").status_code == client.post("/requests/1x/answer").status_code == 404
