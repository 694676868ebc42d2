"""axe-core finds no serious violation on any page, in either theme."""
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from running import Server

from browser.stage import places

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_violation(chromium: Browser, server: Server, theme: str) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    context.add_cookies([{"name": "theme", "value": theme, "url": server.url}])
    page = context.new_page()
    found: list[str] = []
    for name, path in places(server).items():
        page.goto(server.url + path)
        page.evaluate(AXE)
        result: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found += [f"{name} ({theme}): {each['id']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
                  for each in result["violations"] if each["impact"] in ("serious", "critical")]
    context.close()
    assert not found, "\n".join(found)
