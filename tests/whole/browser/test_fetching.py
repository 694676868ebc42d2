"""The pages of a session and of its repository show, without a reload, how far a fetch is, and that it has ended."""
from pathlib import Path

from conftest import require, until
from held_fetch import HeldRemote
from playwright.sync_api import Page, expect
from running import Server

CARD = {"name": "Greet", "features": [{"title": "Greet", "description": "```sh\necho hello > hello.txt\n```"}]}


def test_a_fetch_is_watched_and_cancelled_without_a_reload(page: Page, tmp_path: Path) -> None:
    require("bwrap")
    remote = HeldRemote(tmp_path)
    server = Server(tmp_path / "data", SWARM_REPOSITORY_ROOTS=str(tmp_path), SWARM_RUNTIME="bubblewrap", SWARM_AGENT="runbook")
    try:
        known = server.call("/api/repositories", {"url": str(remote.path)})[1]["id"]
        remote.hold()
        page.goto(f"{server.url}/repositories/{known}")
        page.evaluate("window.same = true")
        session = server.session({**CARD, "repository": str(remote.path)})
        expect(page.locator("#fetching")).to_contain_text("The other side prepares what will be fetched.")
        log = until(lambda: next(tmp_path.glob("data/runs/*/log"), None), what="the run has a log")
        with open(log, "ab") as file:
            file.write(b"Fetching 85 of 241 MB, 2,794 of 6,208 objects.\n")
        expect(page.locator("#fetching")).to_contain_text("Fetching 85 of 241 MB, 2,794 of 6,208 objects.")
        assert page.evaluate("window.same") is True, "it was not loaded again"
        page.locator("#fetching").get_by_role("link", name="Greet").click()
        expect(page.locator("#fetching")).to_contain_text("Fetching 85 of 241 MB")
        page.evaluate("window.same = true")
        with open(log, "ab") as file:
            file.write(b"Fetching 90 of 241 MB, 2,800 of 6,208 objects.\n")
        expect(page.locator("#fetching")).to_contain_text("Fetching 90 of 241 MB")
        assert server.call(f"/api/hitl/{session}/cancel", {})[0] == 200
        expect(page.locator("#fetching")).to_have_count(0)
        assert page.evaluate("window.same") is True, "it was not loaded again"
    finally:
        server.stop()
