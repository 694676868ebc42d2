"""From an idea to a card in review: at most five questions, one at a time, about what the card still lacks.

    draft --say, draft--> clarifying --the last answer--> review        (straight to review if nothing is missing)

Each answer is written into the card at once, as a new version. Skipping a question uses the recommended answer as an assumption. An assumption
can be revised as long as the card can be changed."""
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, WrongState
from engine.store.db import Database
from engine.tickets import session_states
from engine.tickets.session_rows import MessageRow, QuestionRow, SessionRow
from hitl.card.coverage import lacking
from hitl.card.spec_card import validate
from hitl.drafting import topics as answers
from hitl.drafting.drafters import Brief
from hitl.drafting.drafters.template import TemplateDrafter, add_text
from hitl.session import questions, sessions
from hitl.web.numbers import is_whole

MESSAGE_LIMIT, ANSWER_LIMIT, MOST_MESSAGES = 100_000, 10_000, 500
YOU, ASSUMED = "you", "assumption"  # who answered; assumption: nobody, the question was skipped


def say(db: Database, config: Config, tenant: str, session_id: str, text: Any = None) -> None:
    """Adds a message: the idea, or a later thought. In a draft it starts the interview, together with the description. Later its features, criteria
    and checks are added to the card, and its other text is added to the description.

    Without a text, a draft's description is the idea. Raises NotFound, BadRequest, WrongState, InvalidCard if the card would not be valid."""
    row = sessions.editable(sessions.get(db, tenant, session_id))
    if text is None and row["state"] == "draft" and row["description"].strip():
        said = ""
    else:
        said = text.replace("\r\n", "\n") if isinstance(text, str) else text
        sessions.check_text("text", said, MESSAGE_LIMIT, lines=True)
    with db.transaction():
        row = sessions.editable(sessions.get(db, tenant, session_id))
        if db.value("select count(*) from messages where session_id = ?", (session_id,)) >= MOST_MESSAGES:
            raise WrongState(f"A conversation has at most {MOST_MESSAGES} messages. Change the card itself.", currentState=row["state"],
                             since=row["updated_at"])
        first = row["spec_card"] is None
        card = TemplateDrafter().draft(brief_of(db, row, said)).card if first else add_text(validate(sessions.current_card(row), config).card, said)
        version = sessions.store_card(db, row, validate(card, config), "interview")
        if said:
            db.execute("insert into messages (tenant_id, session_id, body, from_version, to_version) values (?, ?, ?, ?, ?)",
                       (tenant, session_id, said.strip(), row["spec_version"], version))
        advance(db, tenant, session_id)


def brief_of(db: Database, row: SessionRow, more: str = "") -> Brief:
    """The whole conversation so far, for a drafter."""
    said = [each["body"] for each in db.all("select body from messages where session_id = ? order by seq", (row["id"],), MessageRow)]
    asked = [each for each in questions.asked(db, row["id"]) if each["answer"] is not None]
    given = tuple((each["topic"], each["body"], str(each["answer"])) for each in asked)
    present = None if row["spec_card"] is None else sessions.current_card(row)
    texts = [text.strip() for text in (row["description"], *said, more) if text.strip()]
    return Brief(row["project_name"], "\n\n".join(dict.fromkeys(texts)), given, present if isinstance(present, dict) else None,
                 frozenset(each["topic"] for each in asked if each["state"] == "assumed"))


def answer(db: Database, config: Config, tenant: str, session_id: str, number: int, *, choice: Any = None, text: Any = None,
           skip: bool = False) -> None:
    """Answers a question with the number of an option (from 1) or with text, or skips it. Skipping assumes the recommended answer.

    A later answer revises an assumption. Raises NotFound, BadRequest, InvalidCard, WrongState (with the answer that was given)."""
    with db.transaction():
        row = sessions.editable(sessions.get(db, tenant, session_id))
        asked = questions.get(db, session_id, number)
        if asked["state"] in ("answered", "withdrawn") or (skip and asked["state"] != "open"):
            raise _too_late(asked)
        given = _given(questions.options(asked), choice, text, skip)
        card = validate(sessions.current_card(row), config).card
        if asked["state"] == "assumed":
            card = answers.take_out(asked["topic"], card, asked["answer"] or "")
        card = answers.write(asked["topic"], card, given)
        if asked["topic"] == "features":  # an earlier answer about acceptance applies to the new features, too
            said = [each["answer"] for each in questions.asked(db, session_id) if each["topic"] == "acceptance" and each["answer"]]
            card = answers.write("acceptance", card, said[0]) if said else card
        checked = validate(card, config)
        state, by = ("assumed", ASSUMED) if skip else ("answered", YOU)
        questions.close(db, asked, state, given, by, (row["spec_version"], row["spec_version"]))
        version = sessions.store_card(db, row, checked, "interview")
        questions.close(db, asked, state, given, by, (row["spec_version"], version))
        advance(db, tenant, session_id)


def skip_rest(db: Database, config: Config, tenant: str, session_id: str) -> None:
    """Gives the recommended answer to the open question, if there is one, and to all later questions. Raises the same errors as answer."""
    with db.transaction():
        while (number := questions.open_number(db, session_id)) is not None:
            answer(db, config, tenant, session_id, number, skip=True)


def _given(options: list[str], choice: Any, text: Any, skip: bool) -> str:
    if (choice is not None) + (text is not None) + skip != 1:
        raise BadRequest("Answer with one of: choice (the number of an option, from 1), text, or skip.")
    if skip:
        return options[0]
    if choice is not None:
        if not is_whole(choice, 1, len(options)):
            raise BadRequest(f"choice must be a whole number from 1 to {len(options)}.")
        return options[choice - 1]
    sessions.check_text("text", text, ANSWER_LIMIT, lines=True)
    return str(text).strip()


def _too_late(asked: QuestionRow) -> WrongState:
    did = {"answered": "answered", "assumed": "skipped", "withdrawn": "withdrawn, because the card already answers it,"}[asked["state"]]
    return WrongState(f"Question {asked['number']} was {did} at {asked['answered_at']}.", currentState=asked["state"], since=asked["answered_at"],
                      answer=asked["answer"], answered_by=asked["answered_by"], answered_at=asked["answered_at"])


def advance(db: Database, tenant: str, session_id: str) -> None:
    """Asks the next question or ends the interview, inside the transaction that changed the card. A session in review stays in review."""
    row = sessions.get(db, tenant, session_id)
    if row["state"] not in ("draft", "clarifying"):
        return
    if questions.open_number(db, session_id) is None and not _ask_next(db, row):
        session_states.move(db, session_id, row["state"], "review")
    elif row["state"] == "draft":
        session_states.move(db, session_id, "draft", "clarifying")


def _ask_next(db: Database, row: SessionRow) -> bool:
    known = {each["topic"] for each in questions.asked(db, row["id"])}
    card = sessions.current_card(row)
    topic = next((each for each in lacking(card, row["repository"]) if each not in known), None)
    if topic is None or len(known) >= questions.MOST:
        return False
    questions.ask(db, row, topic, answers.question(topic, card))
    return True
