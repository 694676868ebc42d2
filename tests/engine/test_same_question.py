"""Questions that need no person again: another ticket of the session asked the same, or nobody answers for a set time."""
from dataclasses import replace

import pytest
from conftest import build, require, statuses, until
from real_engine import running

from engine.config import Config
from engine.job.prompt import prompt
from engine.store.db import Database
from engine.tickets import answers, requests
from engine.tickets.rows import TicketRow
from engine.tickets.same_question import assume_overdue, earlier_answer, key, record_answered
from hitl.views.notes import notes_markdown

ASK = "```sh\ngrep -q 'A: Bl[u]e' \"$SWARM_IN/prompt.md\" && touch {name} || swarm-ask '{words}' --option Blue --option Red\n```"


@pytest.fixture
def bubble(config: Config) -> Config:
    require("bwrap")
    return replace(config, runtime="bubblewrap", slots=1, synchronous="NORMAL")


def card(second: str) -> dict:
    return {"name": "Ask", "features": [{"title": "A", "description": ASK.format(name="a.txt", words="Which colour?")},
                                        {"title": "B", "description": ASK.format(name="b.txt", words=second)}]}


def answered(db: Database) -> dict[str, tuple]:
    return {row["ticket_id"]: (row["state"], row["answer"], row["answered_by"]) for row in db.all("select * from requests where kind = 'question'")}


def test_the_same_question_of_a_sibling_is_answered_from_the_first_answer(db: Database, bubble: Config) -> None:
    session = build(db, replace(bubble), card("which  COLOUR"))
    with running(db, bubble):
        until(lambda: list(statuses(db, session).values())[1:] == ["needs_input", "needs_input"])
        answers.answer(db, "default", "TKT-003", "Blue")
        until(lambda: list(statuses(db, session).values())[1:] == ["completed", "completed"])
    assert answered(db) == {"TKT-002": ("answered", "Blue", "the answer to TKT-003"), "TKT-003": ("answered", "Blue", "you")}


def test_a_question_that_was_answered_before_does_not_wait(db: Database, bubble: Config) -> None:
    asking = card("Which colour?")
    asking["features"][1]["depends_on"] = ["A"]
    session = build(db, bubble, asking)
    with running(db, bubble):
        until(lambda: statuses(db, session)["TKT-002"] == "needs_input")
        answers.answer(db, "default", "TKT-002", "Blue")
        until(lambda: statuses(db, session)["TKT-003"] == "completed")
    assert answered(db)["TKT-003"] == ("answered", "Blue", "the answer to TKT-002")
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-003' order by seq")] == ["needs_input", "merged"]


def test_another_question_waits_for_a_person(db: Database, bubble: Config) -> None:
    asking = card("Which shape?")
    session = build(db, bubble, asking)
    with running(db, bubble):
        until(lambda: list(statuses(db, session).values())[1:] == ["needs_input", "needs_input"])
        answers.answer(db, "default", "TKT-002", "Blue")
        until(lambda: statuses(db, session)["TKT-002"] == "completed")
    assert answered(db)["TKT-003"][0] == "open"


def test_after_the_set_time_the_first_option_is_taken_and_noted_as_an_assumption(db: Database, bubble: Config) -> None:
    session = build(db, bubble, card("Which shape?"))
    with running(db, replace(bubble, answer_seconds=0.5, poll_seconds=0.1)):
        until(lambda: list(statuses(db, session).values())[1:] == ["completed", "completed"])
    assert set(answered(db).values()) == {("answered", "Blue", "assumption")}
    story = notes_markdown(db, "default", session)
    assert "taken by assumption, because nobody answered in time" in story and "answered by" not in story


def test_an_answer_that_was_assumed_is_nowhere_an_answer_of_a_person(db: Database, config: Config) -> None:
    session = build(db, config, card("Which colour?"))
    for ticket in ("TKT-002", "TKT-003"):
        db.execute("update tickets set status = 'needs_input', run_no = 2 where id = ?", (ticket,))
    first, second = (db.the("select * from tickets where id = ?", (ticket,), TicketRow) for ticket in ("TKT-002", "TKT-003"))
    requests.open_question(db, first, None, "Which colour?", ["Blue", "Red"])
    db.execute("update requests set created_at = '2026-01-01T00:00:00.000Z'")
    assume_overdue(db, 1.0)
    earlier = earlier_answer(db, session, "TKT-003", "Which colour?", ["Blue", "Red"])
    assert earlier is not None
    record_answered(db, second, "run", "Which colour?", ["Blue", "Red"], earlier)
    assert answered(db)["TKT-003"] == ("answered", "Blue", "assumption, as for TKT-002")
    for ticket in (first, second):
        told = prompt(db, ticket, "")
        assert "Assumed, because nobody answered in time" in told and "Answered by a person" not in told and "A: Blue" in told
    requests.open_question(db, first, None, "Which shape?", ["Round"])
    answers.answer(db, "default", "TKT-002", "Square")
    told = prompt(db, first, "")
    assert told.index("A: Square") < told.index("## Assumed") < told.index("A: Blue") and "## Answered by a person" in told


@pytest.mark.parametrize("one, other, same", [
    (("Which colour?", ["Blue", "Red"]), ("which colour", ["red.", "BLUE"]), True), (("Which colour?", ["Blue"]), ("Which colour?", ["Red"]), False),
    (("Which colour?", []), ("What colour?", []), False), (("A b", []), ("a-b!", []), True)])
def test_what_makes_two_questions_the_same(one: tuple, other: tuple, same: bool) -> None:
    assert (key(*one) == key(*other)) is same
