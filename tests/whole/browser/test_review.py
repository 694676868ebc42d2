"""Reviewing in a browser: a line that was removed is commented on a narrow screen, and white space is hidden, with and without JavaScript."""
import pytest
from conftest import HANG
from reviewing import SHOP, Review
from serving import served

PATH = "/tickets/TKT-002/changes"


@pytest.fixture
def site(app, client, db, config, tmp_path):
    """A change in review whose lines are indented, and two of which are others."""
    work = Review(client, db, config, tmp_path)
    work.write("shop.py", "if True:\n" + "".join(f"    {line}\n" for line in SHOP.replace("result = 0", "result = 1").splitlines()))
    work.hand_over()
    with served(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("with_script", [True, False])
def test_a_removed_line_is_commented_at_the_width_of_a_phone_and_white_space_is_hidden(chromium, client, site, with_script):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=with_script)
    context.set_default_timeout(HANG * 1000)
    try:
        page = context.new_page()
        page.goto(site + PATH)
        assert page.locator("tr.is-removed").count() == 5
        page.get_by_role("link", name="Hide white space").click()
        page.get_by_role("link", name="Show white space").wait_for()
        assert page.locator("tr.is-removed").count() == 1
        number = page.get_by_role("link", name="Comment on old line 2")
        box = number.bounding_box()
        assert box["width"] >= 24 and box["height"] >= 24
        number.click()
        page.get_by_label("Comment on line 2").fill("Why not zero?")
        page.get_by_role("button", name="Save draft").click()
        page.get_by_text("1 draft comment", exact=False).first.wait_for()
        assert "space=hide" in page.url and page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    finally:
        context.close()
    assert [(each["side"], each["line"], each["quoted"], each["body"]) for each in client.get("/api/tickets/TKT-002/comments").json["comments"]] == [
        ("L", 2, "    result = 0", "Why not zero?")]
