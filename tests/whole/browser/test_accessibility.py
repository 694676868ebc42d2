"""axe-core finds no serious violation on any page, in either theme."""
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from running import Server

from browser.stage import places

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """-> the server's address, and every page on it that is worth looking at."""
    server = Server(tmp_path_factory.mktemp("stage") / "data")
    yield server.url, places(server)
    server.stop()


# A theme changes colours and nothing else: all rules are held against one of them, those of colour against both.
@pytest.mark.parametrize(("theme", "rules"), [("light", "{}"), ("dark", "{runOnly: ['color-contrast', 'link-in-text-block']}")], ids=["light", "dark"])
def test_no_page_has_a_serious_violation(chromium: Browser, stage: tuple[str, dict[str, str]], theme: str, rules: str) -> None:
    url, pages = stage
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    context.add_cookies([{"name": "theme", "value": theme, "url": url}])
    page = context.new_page()
    found: list[str] = []
    for name, path in pages.items():
        page.goto(url + path)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        page.evaluate(AXE)
        result: Any = page.evaluate(f"axe.run(document, {{resultTypes: ['violations'], ...{rules}}})")
        assert result["passes"], f"{name}: no rule was applied"
        found += [f"{name} ({theme}): {each['id']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
                  for each in result["violations"] if each["impact"] in ("serious", "critical")]
    context.close()
    assert not found, "\n".join(found)
