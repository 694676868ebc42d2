"""From the first sentence to the merged branch, on the real engine."""
import re

from conftest import until
from playwright.sync_api import Page, expect
from running import Server

IDEA = "A command-line tool that counts the words of a text file.\n\n1. Count words\n2. Show the most frequent words"


def answer_all(page: Page) -> int:
    """Takes the first answer of each question by its key. -> how many there were"""
    for count in range(6):
        if not page.locator("[data-answer='1']").count():
            return count
        page.locator("html.has-keys").wait_for(state="attached")
        question = page.locator("legend").filter(has_text="?").first.inner_text()
        page.keyboard.press("1")
        page.wait_for_function("question => ![...document.querySelectorAll('legend')].some(e => e.innerText === question)", arg=question)
        page.wait_for_load_state()
    raise AssertionError("more than five questions")


def test_an_idea_becomes_a_card_tickets_and_a_merged_branch(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_label("The idea in your own words").fill(IDEA)
    page.get_by_role("button", name=re.compile("Start the session")).click()
    page.wait_for_url(re.compile("/sessions/"))
    session = page.url.split("/sessions/")[1].split("?")[0].split("#")[0]
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_be_disabled()
    expect(page.locator("#approve-why")).to_contain_text("Question 1 is open")
    assert 1 <= answer_all(page) <= 5
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_be_enabled()

    page.locator("summary").filter(has_text=re.compile(r"Edit.*\bName$")).click()
    page.get_by_label("Name", exact=True).fill("Word counter")
    page.get_by_role("button", name=re.compile("^Save")).first.click()
    expect(page.locator("main")).to_contain_text("Since v")
    expect(page.locator("main")).to_contain_text("Word counter")

    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.locator("main")).to_contain_text("Count words")
    page.get_by_role("button", name=re.compile("start", re.I)).first.click()
    expect(page.get_by_text("2 of 2 features done")).to_be_visible()
    until(lambda: server.state(session) == "completed")
    page.get_by_role("link", name="Count words").first.click()
    expect(page.locator("main")).to_contain_text("docs/tickets/TKT-002.md")
    page.get_by_role("link", name=re.compile("Changes")).first.click()
    expect(page.locator("main")).to_contain_text("Done means")


def test_what_was_skipped_is_an_assumption_that_one_press_revises(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_label("The idea in your own words").fill(IDEA)
    page.get_by_role("button", name=re.compile("Start the session")).click()
    page.get_by_role("button", name=re.compile("Use all recommended answers")).click()
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_be_enabled()
    page.get_by_text("Revise").first.click()
    page.locator("[data-answer='2'], button[name=choice][value='2']").first.click()
    expect(page.locator("main")).to_contain_text("Since v")
