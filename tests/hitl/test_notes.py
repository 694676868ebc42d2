"""The story of a session as Markdown: what was said, asked, assumed, approved and amended."""
from serving import CARD

from hitl.amend import proposals
from hitl.drafting.draft import interview
from hitl.session import sessions
from hitl.ticket_generator import start_build
from hitl.views.notes import notes_markdown
from hitl.web.strict_json import sha256

TENANT = "default"


def test_the_story_is_told_from_the_idea_to_the_amendment(db, config):
    session = sessions.create(db, config, TENANT, project_name="Greeter", description="Greet\n# no heading")
    interview.say(db, config, TENANT, session, "And <b>wave</b>.")
    interview.answer(db, config, TENANT, session, 1, text="My *guests*")
    interview.skip_rest(db, config, TENANT, session)
    sessions.put_card(db, config, TENANT, session, CARD)
    sessions.approve(db, TENANT, session, sha256(CARD))
    start_build(db, config, TENANT, session, {"confirmed": True})
    proposals.propose(db, config, TENANT, session, {"add": [{"title": "F3"}], "drop": ["TKT-003"]})
    proposed = proposals.amendment_view(db, TENANT, session)["amendment"]
    proposals.approve(db, config, TENANT, session, proposed["sha256"])
    proposals.propose(db, config, TENANT, session, {"change": [{"ticket": "TKT-002", "set": {"title": "G"}}]})
    text = notes_markdown(db, TENANT, session)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Greeter", "## Messages", "## Questions and answers", "## Assumptions", "## Spec card", "## Amendments", "## Tickets",
        "### TKT-001 Test", "### TKT-002 F1", "### TKT-003 F2", "### TKT-004 F3"]
    for part in ("> Greet\n> # no heading", "> And <b>wave</b>.", "   - My \\*guests\\* (you, ", ", version 2)", "- Features: One feature that does all of it",
                 f": `{sha256(CARD)}`", f": `{proposed['sha256']}`", "  - added: F3", "  - dropped: TKT-003", "  - changed: TKT-002 (title)",
                 "waits for approval", "from: interview", "from: amendment", "Dropped by an amendment of the card."):
        assert part in text, part
