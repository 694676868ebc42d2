"""`python -m tests.whole.browser.screens`: pictures of every page at 1280 and 390 px, in both themes, into docs/screens."""
import os
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "doubles"), str(TESTS / "whole")]

from playwright.sync_api import Browser, sync_playwright
from running import Server

from browser.conftest import FLAGS
from browser.stage import places

TARGET = TESTS.parent / "docs" / "screens"


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "data", SWARM_MAX_ATTEMPTS="1")
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS)
        try:
            shoot(browser, server.url, {"home-first": "/"})
            shoot(browser, server.url, places(server))
        finally:
            browser.close()
            server.stop()


def shoot(browser: Browser, url: str, stage: dict[str, str]) -> None:
    for theme in ("light", "dark"):
        for width, height in ((1280, 900), (390, 844)):
            context = browser.new_context(viewport={"width": width, "height": height})
            context.add_cookies([{"name": "theme", "value": theme, "url": url}])
            page = context.new_page()
            for name, path in stage.items():
                page.goto(url + path)
                page.wait_for_timeout(300)
                page.screenshot(path=TARGET / f"{name}-{width}-{theme}.png", full_page=name != "session-200")
            context.close()


if __name__ == "__main__":
    main()
