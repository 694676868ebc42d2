"""What a person types, and where they are: their words are sent by the keyboard, and outlive what others do."""
import re

from conftest import until
from playwright.sync_api import Page, expect
from running import Server

ASKS = "```sh\n[ -e asked ] && exit 0\ntouch asked\nswarm-ask '{}' --option Red --option Blue\n```"


def asking(server: Server, *questions: str) -> str:
    """A build whose tickets ask these questions and wait. -> its session"""
    session = server.session({"name": "Asks", "features": [{"title": f"Ask {n}", "description": ASKS.format(each)} for n, each in enumerate(questions, 1)]})
    until(lambda: len(server.sqlite("select 1 from requests where state = 'open'")) == len(questions), what="the questions wait")
    return session


def ready(page: Page) -> None:
    expect(page.locator("#connection")).to_have_text("live")
    page.locator("html.has-keys").wait_for(state="attached")


def test_the_tab_keeps_its_title_while_the_inbox_count_changes(page: Page, server: Server) -> None:
    made = server.call("/api/hitl", {"project_name": "Waiting list"})[1]
    page.goto(f"{server.url}/help/keys")
    ready(page)
    title = page.title()
    server.call("/api/hitl", {"project_name": "One more"})
    expect(page.locator("#inbox-count .count")).to_have_text(re.compile("2"))
    assert page.title() == title and made


def test_ctrl_enter_saves_a_feature_from_every_field_of_its_form(page: Page, server: Server) -> None:
    made = server.call("/api/hitl", {"project_name": "Card", "spec_card": {"name": "Card", "features": [
        {"title": "One", "acceptance_criteria": ["first"]}, {"title": "Two"}]}})[1]
    for number, (field, keys) in enumerate((("#f-c1", "Control+Enter"), ("#f-description", "Meta+Enter"), ("#f-title", "Control+Enter")), 1):
        page.goto(f"{server.url}/sessions/{made['id']}?edit=0")
        ready(page)
        page.locator(field).fill(f"words {number}")
        page.locator(field).press(keys)
        page.wait_for_url(re.compile("#feature-1$"))
        feature = server.call(f"/api/hitl/{made['id']}/spec-card")[1]["spec_card"]["features"][0]
        assert f"words {number}" in (feature["title"], feature.get("description"), feature["acceptance_criteria"][0]), feature
    page.context.add_cookies([{"name": "shortcuts", "value": "off", "url": server.url}])
    page.goto(f"{server.url}/?new=1")
    expect(page.locator("#connection")).to_have_text("live")
    page.locator("#idea").fill("A tool that counts words.")
    page.locator("#idea").press("Control+Enter")
    page.wait_for_url(re.compile("/sessions/"))


def test_words_in_an_answer_outlive_what_others_do(page: Page, server: Server) -> None:
    asking(server, "Which colour?", "Which other?")
    page.goto(f"{server.url}/inbox")
    ready(page)
    asked = {ticket: number for number, ticket in server.sqlite("select seq, ticket_id from requests")}
    first, second = (page.locator(f"#words-{asked[ticket]}") for ticket in ("TKT-002", "TKT-003"))
    for field, words in ((first, "Green, for a reason"), (second, "Violet, all of it")):
        field.evaluate("field => field.closest('details').open = true")
        field.fill(words)
    server.call("/api/hitl", {"project_name": "A third thing"})
    expect(page.get_by_text("A third thing").first).to_be_visible()
    expect(first).to_have_value("Green, for a reason")
    server.call("/api/tickets/TKT-002/answer", {"answer": "Red"})
    expect(page.locator(f"#request-{asked['TKT-002']}")).to_have_count(0)
    expect(page.locator("#unsent")).to_be_visible()
    expect(page.locator("#unsent-1")).to_have_value("Green, for a reason")
    expect(second).to_have_value("Violet, all of it")
    page.goto(f"{server.url}/tickets/TKT-003")
    ready(page)
    page.locator("#words").evaluate("field => field.closest('details').open = true")
    page.locator("#words").fill("Words for a question that is gone")
    server.call("/api/tickets/TKT-003/answer", {"answer": "Blue"})
    expect(page.locator("#unsent-1")).to_have_value("Words for a question that is gone")


def test_the_next_question_has_the_focus_after_an_answer(page: Page, server: Server) -> None:
    made = server.call("/api/hitl", {"project_name": "Shop"})[1]
    server.call(f"/api/hitl/{made['id']}/messages", {"text": "Customers forget their passwords."})
    page.goto(f"{server.url}/sessions/{made['id']}")
    ready(page)
    page.keyboard.press("1")
    page.wait_for_url(re.compile("#ask$"))
    expect(page.locator("#ask")).to_be_focused()
    expect(page.locator("#ask")).to_be_in_viewport()
    asking(server, "Which colour?", "Which other?")
    page.goto(f"{server.url}/inbox")
    ready(page)
    page.locator("#request-1").get_by_role("button", name="Red").click()
    page.wait_for_url(re.compile("#item-2$"))
    expect(page.locator("#item-2")).to_be_focused()


def test_a_log_that_was_opened_empty_is_followed_and_searched(page: Page, server: Server) -> None:
    session = server.session({"name": "Log", "features": [{"title": "Talk", "description": "```sh\necho first-words\necho other-words\necho x > x.txt\n```"}]})
    until(lambda: server.sqlite("select 1 from runs where ticket_id = 'TKT-002'"))
    page.goto(f"{server.url}/tickets/TKT-002")
    expect(page.locator("#log-search")).to_be_visible()
    until(lambda: server.state(session) == "completed")
    expect(page.get_by_text("first-words", exact=True).first).to_be_attached()
