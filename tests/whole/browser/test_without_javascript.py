"""Everything but the live part works with JavaScript off."""
import re
from collections.abc import Iterator

import pytest
from conftest import until
from playwright.sync_api import Browser, Page, expect
from running import Server


@pytest.fixture
def plain(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_the_sample_goes_from_the_first_screen_to_its_branch(plain: Page, server: Server) -> None:
    plain.goto(server.url)
    plain.get_by_role("button", name=re.compile("Build the sample")).click()
    plain.get_by_role("button", name=re.compile("^Approve")).click()
    plain.get_by_role("button", name=re.compile("start", re.I)).first.click()
    session = plain.url.split("/sessions/")[1].split("/")[0]
    until(lambda: server.state(session) == "completed")
    plain.reload()
    expect(plain.locator("main")).to_contain_text("git clone")
    plain.locator("a[href^='/tickets/TKT-002']").first.click()
    expect(plain.locator("main")).to_contain_text("Acceptance")
    for name in ("Inbox", "Engine", "Home"):
        plain.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        expect(plain.locator("h1")).to_be_visible()
    expect(plain.locator("#connection")).to_be_hidden()
