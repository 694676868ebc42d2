"""From an idea to a card in review: what is asked, what each answer writes into the card, and what is assumed."""
import pytest

from engine.errors import BadRequest, InvalidCard, NotFound, WrongState
from hitl.card import coverage
from hitl.card.coverage import lacking
from hitl.drafting import conversation
from hitl.drafting import edit as card_actions
from hitl.drafting.draft import interview
from hitl.drafting.topics import EXAMPLE, FRESH, ONE
from hitl.session import sessions
from hitl.web.strict_json import sha256

TENANT = "default"
FULL = """A tool for small teams.

1. Say hello
   - It greets by name (check: `python3 hello.py`)
2. Say goodbye
   - It is polite

Out of scope: accounts. No personal data is kept, so there is no privacy risk. It is written in Python.
"""


@pytest.fixture
def new(db, config):
    return lambda description="", **values: sessions.create(db, config, TENANT, project_name="Greeter", description=description, **values)


@pytest.fixture
def view(db):
    return lambda session: conversation.conversation_view(db, TENANT, session)


def card(db, session):
    return sessions.current_card(sessions.get(db, TENANT, session))


def test_an_idea_becomes_a_draft_card_and_the_first_question(db, config, new, view):
    session = new()
    interview.say(db, config, TENANT, session, "Greet whoever comes.")
    found = view(session)
    assert (found["state"], found["version"], found["open"]) == ("clarifying", 1, 1)
    assert card(db, session) == {"name": "Greeter", "description": "Greet whoever comes.", "features": [{"title": "Greeter"}]}
    question = found["questions"][0]
    assert question["topic"] == "goal" and len(question["options"]) > 1 and question["recommended"] == question["options"][0]
    assert [each["body"] for each in found["messages"]] == ["Greet whoever comes."] and found["messages"][0]["to_version"] == 1
    assert {each["topic"]: each["state"] for each in found["coverage"]} == {"goal": "open", **dict.fromkeys(list(coverage.LABELS)[1:], "lacking")}


def test_the_description_is_the_idea_where_nothing_is_said(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    assert view(session)["state"] == "clarifying" and view(session)["messages"] == []
    with pytest.raises(BadRequest):
        interview.say(db, config, TENANT, new())


def test_five_answers_make_a_card_in_review_and_each_is_written_at_once(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    said = {"goal": "My guests", "features": "Say hello\nSay goodbye; Remember names", "acceptance": "It is polite", "scope": "Accounts",
            "technical": "Python 3\nStandard library only"}
    for number, (topic, text) in enumerate(said.items(), 1):
        found = view(session)
        assert (found["open"], found["questions"][-1]["topic"]) == (number, topic), "one at a time, by what is lacking"
        interview.answer(db, config, TENANT, session, number, text=text)
        assert view(session)["questions"][number - 1]["changes"], topic
    found = view(session)
    assert (found["state"], found["open"], len(found["questions"])) == ("review", None, 5)
    assert card(db, session) == {
        "name": "Greeter", "description": "Greet whoever comes.\n\nFor: My guests\n\nOut of scope: Accounts",
        "features": [{"title": title, "acceptance_criteria": ["It is polite"]} for title in ("Say hello", "Say goodbye", "Remember names")],
        "technical_requirements": ["Python 3", "Standard library only"]}
    assert found["version"] == 6 and [(each["from_version"], each["to_version"]) for each in found["questions"]] == [(n, n + 1) for n in range(1, 6)]
    assert [each["path"] for each in found["questions"][4]["changes"]] == ["technical_requirements[0]", "technical_requirements[1]"]


def test_what_the_text_says_already_is_not_asked(db, config, new, view):
    session = new(FULL, repository="owner/repo")
    interview.say(db, config, TENANT, session)
    assert lacking(card(db, session), "owner/repo") == []
    assert (view(session)["state"], view(session)["questions"]) == ("review", [])


def test_a_skipped_question_is_an_assumption_that_one_call_revises(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    interview.skip_rest(db, config, TENANT, session)
    found = view(session)
    assert found["state"] == "review" and {each["state"] for each in found["questions"]} == {"assumed"}
    assert [each["answer"] for each in found["questions"]][1:3] == [ONE, EXAMPLE]
    interview.answer(db, config, TENANT, session, 1, text="My guests")
    interview.answer(db, config, TENANT, session, 2, text="Hello\nGoodbye")
    interview.answer(db, config, TENANT, session, 3, text="It is polite")
    interview.answer(db, config, TENANT, session, 5, choice=2)
    made = card(db, session)
    assert made["description"] == "Greet whoever comes.\n\nFor: My guests\n\nOut of scope: Everything that no feature names"
    assert made["features"] == [{"title": "Hello", "acceptance_criteria": ["It is polite"]}, {"title": "Goodbye", "acceptance_criteria": ["It is polite"]}]
    assert made["technical_requirements"] == ["Python 3, standard library only"]
    assert [each["state"] for each in view(session)["questions"]] == ["answered", "answered", "answered", "assumed", "answered"]


def test_an_answer_counts_once_and_the_second_is_told_what_was_said(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    interview.answer(db, config, TENANT, session, 1, choice=1)
    with pytest.raises(WrongState) as refused:
        interview.answer(db, config, TENANT, session, 1, text="Another")
    assert refused.value.extra["answer"] == view(session)["questions"][0]["options"][0] and refused.value.extra["answered_by"] == "you"
    assert refused.value.extra["answered_at"] and refused.value.extra["currentState"] == "answered"


@pytest.mark.parametrize("given", [{}, {"choice": 0}, {"choice": 9}, {"choice": True}, {"choice": "1"}, {"choice": 1, "text": "x"}, {"text": ""},
                                   {"text": " "}, {"text": 5}, {"text": "x" * 10_001}, {"text": "a\u200bb"}, {"text": "x", "skip": True}])
def test_an_answer_that_is_none_is_refused_and_changes_nothing(db, config, new, view, given):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    before = view(session)
    with pytest.raises(BadRequest):
        interview.answer(db, config, TENANT, session, 1, **given)
    assert view(session) == before


def test_a_hidden_character_is_refused_with_its_position(db, config, new):
    with pytest.raises(BadRequest, match=r"U\+202E, at position 3"):
        interview.say(db, config, TENANT, new(), "Gr\u202eeet")


def test_a_repository_that_is_not_allowed_leaves_the_question_open(db, config, new, view):
    session = new(FULL)
    interview.say(db, config, TENANT, session)
    assert view(session)["questions"][0]["topic"] == "repository" and view(session)["questions"][0]["options"] == [FRESH]
    for text in ("/etc", "ext::sh", "a b c"):
        with pytest.raises((InvalidCard, BadRequest)):
            interview.answer(db, config, TENANT, session, 1, text=text)
    interview.answer(db, config, TENANT, session, 1, text="owner/repo, branch develop")
    assert (card(db, session)["repository"], card(db, session)["base_branch"], view(session)["state"]) == ("owner/repo", "develop", "review")


def test_a_card_with_an_open_question_is_not_approved(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    sessions.put_card(db, config, TENANT, session, {"name": "G", "features": [{"title": "A"}]})
    with pytest.raises(WrongState) as refused:
        sessions.approve(db, TENANT, session, sha256({"name": "G", "features": [{"title": "A"}]}))
    assert (refused.value.extra["code"], refused.value.extra["question"]) == ("question_open", 1)
    interview.answer(db, config, TENANT, session, 1, skip=True)
    found = view(session)
    assert (found["state"], found["open"]) == ("review", None), "what is in review is asked nothing new"
    sessions.approve(db, TENANT, session, sha256(card(db, session)))
    with pytest.raises(WrongState):
        interview.answer(db, config, TENANT, session, 1, text="Too late")


def test_a_question_that_an_edit_settles_is_withdrawn_and_the_next_one_asked(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    card_actions.edit_card(db, config, TENANT, session, [{"op": "set", "path": "description", "value": "Greet our customers."}])
    found = view(session)
    assert [(each["topic"], each["state"]) for each in found["questions"]] == [("goal", "withdrawn"), ("features", "open")]


def test_a_later_message_adds_to_the_card(db, config, new, view):
    session = new(FULL, repository="owner/repo")
    interview.say(db, config, TENANT, session)
    interview.say(db, config, TENANT, session, "1. Wave\n2. Say hello\n   - It smiles\n\nCheck: `make test`")
    made = card(db, session)
    assert [each["title"] for each in made["features"]] == ["Say hello", "Say goodbye", "Wave"] and made["checks"] == ["make test"]
    assert made["features"][0]["acceptance_criteria"][-1] == "It smiles"
    interview.say(db, config, TENANT, session, "It must be quick.")
    assert card(db, session)["description"].endswith("It must be quick.")
    assert [each["kind"] for each in view(session)["messages"][0]["changes"]] == ["added"] * 3


def test_of_another_tenant_or_unknown_there_is_nothing(db, config, new):
    theirs = sessions.create(db, config, "somebody", project_name="Theirs", description="Greet.")
    for session in (theirs, "unknown"):
        for do in (lambda s=session: interview.say(db, config, TENANT, s, "x"), lambda s=session: interview.answer(db, config, TENANT, s, 1, choice=1),
                   lambda s=session: conversation.conversation_view(db, TENANT, s)):
            with pytest.raises(NotFound):
                do()


def test_the_journal_tells_of_what_was_said_asked_and_changed(db, config, new):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session, "And bye.")
    interview.answer(db, config, TENANT, session, 1, skip=True)
    assert [tuple(row) for row in db.all("select kind, from_state, to_state from events where session_id = ? order by seq", (session,))] == [
        ("session", None, "draft"), ("card", None, "changed"), ("message", None, "written"), ("question", None, "open"),
        ("session", "draft", "clarifying"), ("question", "open", "assumed"), ("card", None, "changed"), ("question", None, "open")]


def test_a_cancelled_session_asks_nothing(db, config, new, view):
    session = new("Greet whoever comes.")
    interview.say(db, config, TENANT, session)
    sessions.cancel(db, TENANT, session)
    assert view(session)["open"] is None and view(session)["questions"][0]["state"] == "withdrawn"
