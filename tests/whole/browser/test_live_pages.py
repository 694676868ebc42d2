"""Pages that follow what happens: nothing is reloaded, nothing is missed, nothing is shown twice."""
import re
from pathlib import Path

from conftest import until
from paging import CARD
from playwright.sync_api import Page, expect
from running import Server, free_port

from engine.store.db import open_database

STEPS = {"name": "Steps", "features": [{"title": f"Step {n}", "description": f"```sh\nsleep 0.5\necho {n} > step{n}.txt\n```"} for n in range(1, 4)]}


def test_the_sample_is_built_by_three_presses_and_followed_without_a_reload(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_role("button", name=re.compile("Build the sample")).click()
    page.wait_for_url(re.compile("/sessions/"))
    page.get_by_role("button", name=re.compile("^Approve")).click()
    page.get_by_role("button", name=re.compile("start", re.I)).first.click()
    page.wait_for_url(lambda url: "/sessions/" in url)
    page.evaluate("window.sameDocument = true")
    expect(page.locator(".stepper li").last).to_have_class(re.compile("is-done"))
    assert page.evaluate("window.sameDocument") is True, "the page was followed, not loaded again"


def test_a_board_moves_while_it_is_looked_at_and_focus_stays(page: Page, server: Server) -> None:
    session = server.session(STEPS)
    page.goto(f"{server.url}/sessions/{session}")
    link = page.get_by_role("link", name=re.compile("Step 3")).first
    link.focus()
    expect(page.get_by_text("3 of 3 features done")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent").strip().find("Step 3") >= 0


def test_after_a_restart_of_the_server_everything_catches_up(page: Page, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", SWARM_PORT=str(free_port()))
    try:
        session = server.session(CARD)
        until(lambda: server.state(session) == "completed")
        page.goto(server.url)
        badge = page.locator("#connection")
        expect(badge).to_have_text("live")
        server.stop()
        expect(badge).to_have_text("reconnecting")
        server.start()
        expect(badge).to_have_text("live")
        server.call("/api/hitl", {"project_name": "After the restart"})
        expect(page.get_by_text("After the restart").first).to_be_visible()
    finally:
        if server.process.poll() is None:
            server.stop()


def test_a_log_of_ten_thousand_lines_has_each_once_over_a_restart(page: Page, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", SWARM_PORT=str(free_port()))
    script = "```sh\ni=0\nwhile [ $i -lt 10000 ]; do echo line-$i; i=$((i+1)); [ $((i % 500)) = 0 ] && sleep 0.2; done\necho x > x.txt\n```"
    try:
        session = server.session({"name": "Log", "features": [{"title": "Talk", "description": script}]})
        until(lambda: server.sqlite("select 1 from runs where ticket_id = 'TKT-002' and state = 'running'"))
        page.goto(f"{server.url}/tickets/TKT-002")
        expect(page.get_by_text("line-600", exact=True)).to_be_attached()
        server.stop()
        expect(page.locator("#connection")).to_have_text("reconnecting")
        server.start()
        until(lambda: server.state(session) == "completed")
        expect(page.get_by_text("line-9999", exact=True)).to_be_attached()
        lines = page.evaluate("[...document.querySelectorAll('main *')].filter(e => !e.children.length).map(e => e.textContent)")
        numbers = [int(line[5:]) for line in lines if re.fullmatch(r"line-\d+", line)]
        assert numbers == sorted(set(numbers)) and numbers[-1] == 9999
    finally:
        if server.process.poll() is None:
            server.stop()


def test_a_board_of_five_hundred_tickets_answers_while_it_changes(page: Page, server: Server) -> None:
    made = server.call("/api/hitl", {"project_name": "Large", "spec_card": {
        "name": "Large", "features": [{"title": f"Feature {n}", "depends_on": [f"Feature {n - 1}"] if n > 1 else []} for n in range(1, 501)]}})[1]
    server.call(f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})
    server.call("/api/engine/pause", {})
    server.call(f"/api/hitl/{made['id']}/start-build", {"confirmed": True})
    page.goto(f"{server.url}/sessions/{made['id']}")
    page.evaluate("""() => {
        window.longest = 0;
        let last = performance.now();
        const beat = () => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now; setTimeout(beat, 10); };
        beat(); }""")
    db = open_database(server.data / "swarm.db")
    for number in range(2, 42):
        with db.transaction():
            db.execute("update tickets set status = 'needs_input' where id = ?", (f"TKT-{number:03d}",))
    db.close()
    expect(page.get_by_text(re.compile("40 tickets need you")).first).to_be_visible()
    page.get_by_role("link", name=re.compile("Feature 7$")).first.focus()
    assert page.evaluate("window.longest") < 2000, "the tab stood still"
