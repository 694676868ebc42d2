"""A run's log, criteria and evidence as a ticket's page shows them."""
import json
import re

from paging import build, live_run, seen
from serving import CARD


def test_a_log_is_folded_into_steps_with_numbered_lines(client, db):
    build(client)
    live_run(db, "TKT-002", b"::phase clone\n::phase agent runbook\n\x1b[31mred\x1b[0m\nunfinished")
    page = seen(client, "/tickets/TKT-002")
    assert "Check out the branch" in page.text and "Agent: runbook" in page.text
    assert {"class": "ansi-red"} in page.all("span") and {"id": "L3"} in page.all("li")
    assert "unfinished" not in page.text


def test_a_log_that_is_asked_for_piece_by_piece_is_the_whole_log_once(client, db, app):
    build(client)
    run = live_run(db, "TKT-002", b"::phase clone\none\n")
    log = app.extensions["swarm"].config.data / "runs" / run / "log"
    after, line, shown = "0", "1", []
    for piece in (b"tw", b"o\n", "gr\u00fc\u00df".encode()[:-1], "\u00df".encode()[1:] + b"e\n\xff\xfe\n", b"::phase agent x\nlast\n", b""):
        log.write_bytes(log.read_bytes() + piece)
        html = client.get(f"/tickets/TKT-002/log?run={run}&after={after}&line={line}").get_data(as_text=True)
        after, line = re.search(r'data-next="(\d+)" data-line="(\d+)"', html).groups()
        shown += re.findall(r'<li id="L(\d+)">.*?<span dir="auto" class="log-text">(.*?)</span></li>', html)
    assert shown == [("2", "one"), ("3", "two"), ("4", "grüße"), ("5", "\ufffd\ufffd"), ("7", "last")]


def test_a_long_log_begins_near_its_end_with_the_right_numbers(client, db):
    build(client)
    live_run(db, "TKT-002", b"".join(b"line %d of many\n" % n for n in range(1, 30_001)))
    page = seen(client, "/tickets/TKT-002")
    numbers = [int(attrs["id"][1:]) for attrs in page.all("li") if re.fullmatch(r"L\d+", attrs.get("id", ""))]
    assert numbers[-1] == 30_000 and 5_000 < len(numbers) < 15_000 and numbers == list(range(numbers[0], 30_001))
    assert f"line {numbers[0]} of many" in page.text and f"line {numbers[0] - 1} of many" not in page.text and "are not shown here" in page.text


def test_criteria_stand_with_their_evidence_and_say_where_there_is_none(client, db):
    build(client, {**CARD, "features": [{"title": "F1", "acceptance_criteria": [
        "judged", {"text": "checked", "check": "make x"}, {"text": "later", "check": "y"}]}]})
    live_run(db, "TKT-002")
    check = {"text": "checked", "command": "make x", "passed": False, "output": "it broke", "seconds": 0.5}
    db.execute("update runs set checks = ?", (json.dumps([check]),))
    text = re.sub(r"\s+", " ", seen(client, "/tickets/TKT-002").text)
    assert "judged not checked by a command" in text and "checked failed" in text and "it broke" in text and "later not checked yet" in text


def test_a_number_that_is_none_is_refused(client, db):
    build(client)
    run = live_run(db, "TKT-002")
    assert client.get(f"/tickets/TKT-002/log?run={run}&after=-1").status_code == 400


def test_a_raw_log_is_plain_text_that_no_browser_takes_for_more(client, db):
    build(client)
    run = live_run(db, "TKT-002", b"<html><script>")
    with client.get(f"/tickets/TKT-002/log.txt?run={run}") as answer:
        assert answer.data == b"<html><script>" and answer.mimetype == "text/plain" and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_run_of_another_ticket_is_not_shown(client, db):
    build(client)
    run = live_run(db, "TKT-002")
    for path in (f"/tickets/TKT-003?run={run}", f"/tickets/TKT-003/log?run={run}", f"/tickets/TKT-003/log.txt?run={run}"):
        assert client.get(path).status_code == 404


def test_each_step_says_how_long_it_took(client, db):
    build(client)
    run = live_run(db, "TKT-002", b"booted\n::phase clone\nx\n::phase agent runbook\ny\n::phase commit\n::phase check 1\nz\n")
    (db.path.parent / "runs" / run / "log.times").write_text("2 1.500\n4 1.750\n6 13.000\n7 13.250\n7 14.000\n9 1")
    text = re.sub(r"\s+", " ", seen(client, "/tickets/TKT-002").text)
    for part in ("Start 1.5 s · 1 line", "Check out the branch 0.2 s · 1 line", "Agent: runbook 11 s · 1 line", "Commit the work 0.2 s · no output"):
        assert part in text, part


def test_a_log_that_was_opened_before_its_first_byte_can_be_followed_searched_and_had_raw(client, db, app):
    build(client)
    run = live_run(db, "TKT-002")
    log = app.extensions["swarm"].config.data / "runs" / run / "log"
    for _ in range(2):  # an empty log, then none
        page = seen(client, "/tickets/TKT-002")
        assert "No output yet." in page.text and any(each.get("id") == "follow" for each in page.all("button"))
        assert any(each.get("id") == "log-search" for each in page.all("input"))
        assert {"class": "btn", "href": f"/tickets/TKT-002/log.txt?run={run}"} in page.all("a")
        with client.get(f"/tickets/TKT-002/log.txt?run={run}") as answer:
            assert (answer.status_code, answer.data, answer.mimetype) == (200, b"", "text/plain")
        log.unlink(missing_ok=True)
    db.execute("update runs set state = 'ended', outcome = 'failed', ended_at = '2026-01-01T00:00:00.000Z' where id = ?", (run,))
    page = seen(client, "/tickets/TKT-002?run=" + run)
    assert "This run wrote no log." in page.text and not any(each.get("id") in ("follow", "log-search") for each in page.all("button") + page.all("input"))
    assert client.get(f"/tickets/TKT-002/log.txt?run={run}").status_code == 404


def test_a_merged_ticket_opens_on_the_run_that_did_the_work(client, db):
    build(client)
    kept = "insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, outcome, ended_at, phases)" \
           " select ?, id, session_id, ?, 'ended', 't', 'e', ?, ?, '2026-01-01T00:00:00.000Z', ? from tickets where id = ?"
    for name, ticket, kind, number, outcome, phases in (
            ("f1", "TKT-002", "feature", 1, "failed", {"agent": 9.0}), ("f2", "TKT-002", "feature", 2, "in_review", {"agent": 5.0}),
            ("f3", "TKT-002", "feature", 3, "merged", {}), ("e1", "TKT-001", "integrate", 1, "integrated", {"check": 1.0}),
            ("e2", "TKT-001", "recheck", 2, "stale", {"check": 1.0})):
        db.execute(kept, (name, kind, number, outcome, json.dumps(phases), ticket))
    assert "Run 3" in re.findall(r'<nav class="tabs".*?</nav>', client.get("/tickets/TKT-002").text)[0], "it is not done yet"
    db.execute("update tickets set status = 'completed'")
    for ticket, number, path in (("TKT-002", 2, ""), ("TKT-002", 2, "/history"), ("TKT-001", 1, "")):
        assert f">Run {number}</a>" in re.findall(r'<nav class="tabs".*?</nav>', client.get(f"/tickets/{ticket}{path}").text)[0]
    assert 'id="log-f3"' in client.get("/tickets/TKT-002?run=f3").text
