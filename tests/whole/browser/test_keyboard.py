"""Without a mouse: the shortcuts of keys.json, the tab order, and what holds them back."""
import json
import re

from conftest import until
from playwright.sync_api import Page, expect
from running import Server

from engine.config import ROOT

ASKS = {"name": "Asks", "features": [{"title": "Ask", "description":
                                        "```sh\n[ -e asked ] && exit 0\ntouch asked\nswarm-ask 'Which?' --option Red --option Blue\n```"}]}


def test_a_person_gets_about_and_answers_by_keys_alone(page: Page, server: Server) -> None:
    server.session(ASKS)
    until(lambda: server.sqlite("select 1 from requests where state = 'open'"))
    page.goto(server.url)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    for keys, place in (("g e", "/engine"), ("g h", "/"), ("?", "/help/keys"), ("g i", "/inbox")):
        page.locator("html.has-keys").wait_for(state="attached")
        for key in keys.split():
            page.keyboard.press(key)
        page.wait_for_url(server.url + place)
    page.goto(f"{server.url}/tickets/TKT-002")
    page.locator("html.has-keys").wait_for(state="attached")
    page.keyboard.press("2")
    until(lambda: server.sqlite("select answer from requests order by seq limit 1") == [["Blue"]], what="the second option is the answer")


def test_no_shortcut_fires_while_a_person_types(page: Page, server: Server) -> None:
    page.goto(server.url + "/?new=1")
    page.locator("html.has-keys").wait_for(state="attached")
    field = page.locator("input[type=text], textarea, input:not([type])").first
    field.click()
    page.keyboard.type("g i n ? 1")
    expect(field).to_have_value("g i n ? 1")
    assert page.url.startswith(server.url + "/?new=1")


def test_the_help_names_every_shortcut(page: Page, server: Server) -> None:
    page.goto(server.url + "/help/keys")
    for shortcut in json.loads((ROOT / "hitl/static/shared/keys.json").read_text()):
        expect(page.get_by_text(re.compile(re.escape(shortcut["label"]))).first).to_be_visible()
