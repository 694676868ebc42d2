"""A repository's page in a browser: steps are approved, the log grows, and the page gets ready without a reload."""
from pathlib import Path

from conftest import git, require
from playwright.sync_api import Page, expect
from running import Server


def test_an_environment_is_written_watched_and_ready_without_a_reload(page: Page, tmp_path: Path) -> None:
    require("bwrap")
    work = tmp_path / "theirs"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    (work / "README.md").write_text("# Theirs\n")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    server = Server(tmp_path / "data", SWARM_REPOSITORY_ROOTS=str(tmp_path), SWARM_RUNTIME="bubblewrap", SWARM_AGENT="runbook")
    try:
        page.goto(f"{server.url}/repositories")
        page.get_by_role("link", name="Add a repository").click()
        page.get_by_label("Repository", exact=True).fill(str(work))
        page.get_by_role("button", name="Look at it").click()
        page.get_by_role("link", name="Add a step").click()
        page.get_by_label("Command 1", exact=True).fill("echo first; sleep 1; echo second; touch \"$HOME/made\"")
        server.call("/api/engine/pause", {})
        page.get_by_role("button", name="Approve and prepare").click()
        expect(page.get_by_text("It waits for a free slot")).to_be_visible()
        page.evaluate("window.same = true")
        server.call("/api/engine/resume", {})
        for line in ("first", "second"):  # a step that has ended may be folded already
            expect(page.locator(".log-text", has_text=line)).to_have_count(1)
        expect(page.locator(".meta").get_by_text("Environment ready")).to_be_visible()
        assert page.evaluate("window.same") is True, "it was not loaded again"
        page.keyboard.press("g")
        page.keyboard.press("r")
        expect(page.get_by_role("heading", name="Repositories")).to_be_visible()
        expect(page.get_by_role("link", name=str(work))).to_be_visible()
    finally:
        server.stop()
