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
