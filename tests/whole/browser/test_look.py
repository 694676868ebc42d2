"""The part of a page about a repository: it comes when the look has ended, without a reload, and fits a phone."""
import re
import socket

import pytest
from conftest import git
from playwright.sync_api import Page, expect
from running import Server


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data", SWARM_REPOSITORY_ROOTS=str(tmp_path))
    yield server
    server.stop()


def approved(server: Server, repository: str) -> str:
    card = {"name": "P", "features": [{"title": "F"}], "repository": repository}
    made = server.call("/api/hitl", {"project_name": "P", "spec_card": card})[1]
    assert server.call(f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})[0] == 200
    return f"{server.url}/sessions/{made['id']}"


def test_a_page_shows_the_end_of_a_look_without_a_reload(page: Page, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        page.goto(approved(server, f"https://127.0.0.1:{silent.getsockname()[1]}/a/b.git"))
        page.evaluate("window.sameDocument = true")
        expect(page.locator("#look")).to_contain_text("Looking at the repository")
    expect(page.locator("#look")).to_contain_text("cannot be reached now")  # the host has hung up
    assert page.evaluate("window.sameDocument") is True


def test_the_first_commit_is_chosen_on_a_phone(page: Page, server: Server, tmp_path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk", "a-folder-with-quite-a-long-name-that-has-no-place-on-a-phone")
    target = tmp_path / "a-folder-with-quite-a-long-name-that-has-no-place-on-a-phone"
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(approved(server, str(target)))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label(re.compile("Make a first commit there")).check()
    page.get_by_role("button", name=re.compile("and start")).click()
    expect(page.locator(".stepper li").last).to_have_class(re.compile("is-done"))
    assert git(target, "log", "--format=%s", "trunk") == "Initial commit\n" and git(target, "branch", "--list", "swarm/*")
