"""From a build that has passed to a pull request: pushed once, opened once, said clearly where it cannot go on."""
import dataclasses
import json
import threading
import time

import pytest
from conftest import HANG, build, git, statuses, until
from delivery_side import PROJECT, Built, for_forge, served
from forge_http import TOKEN, Server, reply
from github_double import GitHubDouble

from engine.delivery.steps import Deliverer
from engine.errors import BadRequest, WrongState
from engine.loop.loop import SwarmEngine
from engine.tickets import actions, answers, deliveries, settle
from engine.tickets.approved_card import repository_of
from engine.tickets.delivery_answers import APPROVE, NO_SECRET, RETRY, WITHOUT


@pytest.fixture
def double(tmp_path):
    with GitHubDouble(served(tmp_path)) as server:
        yield server
        assert server.faults == []


@pytest.fixture
def forge(config, double):
    return for_forge(config, double.url)


@pytest.fixture
def built(db, forge, double, tmp_path):
    return Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT), features=2)


@pytest.fixture
def plain(db, config, tmp_path):
    served(tmp_path)
    bare = tmp_path / "served" / f"{PROJECT}.git"
    return Built(db, dataclasses.replace(config, repository_roots=(tmp_path,)), tmp_path, str(bare), bare)


def test_a_plain_git_remote_gets_the_branch_and_the_ticket_says_where_it_is(plain):
    assert plain.state() == "building" and plain.ticket()["status"] == "running"
    plain.go()
    assert plain.remote_head() == plain.tip and plain.remote_head("main") == plain.base
    assert plain.state() == "completed" and plain.row()["state"] == "done"
    ticket = plain.ticket()
    assert (ticket["status"], ticket["pr_url"]) == ("completed", None) and plain.branch in ticket["reason"] and str(plain.bare) in ticket["reason"]


def test_a_build_of_its_own_has_nothing_to_deliver(db, config):
    session = build(db, config, {"name": "Own", "features": [{"title": "F"}]})
    assert repository_of(db, session) is None


def test_a_pull_request_is_opened_as_a_draft_and_made_ready_when_the_epic_completes(built, double):
    built.go(1)
    assert built.state() == "completed" and len(double.pulls) == 1
    pull = double.pulls[0]
    assert (pull["draft"], pull["head"]["ref"], pull["base"]["ref"]) == (False, built.branch, "main")
    assert built.ticket()["pr_url"] == f"{double.url}/{PROJECT}/pull/1" and built.row()["number"] == 1
    opened = next(headers for method, path, headers in double.seen if method == "POST" and path.endswith("/pulls"))
    assert opened and built.row()["state"] == "watched"


def test_what_the_pull_request_says(built, double):
    built.go()
    body = double.pulls[0]["body"]
    assert "- [x] It works (`true` passed in 0.1 s)" in body and "- [ ] It looks good (not checked by a command)" in body
    assert f"Ticket: {built.epic}\nSession: {built.session}\nAssisted-by: HITL Swarm (runbook)" in body
    assert "### TKT-003 Part 2" in body and "@team" not in body, "nobody is called by a card's text"
    assert double.pulls[0]["title"] == f"{built.epic}: Widget"


def test_links_lead_back_where_there_is_an_address(built, double):
    built.config = dataclasses.replace(built.config, public_url="https://swarm.example.com")
    built.go()
    assert f"https://swarm.example.com/tickets/{built.epic}" in double.pulls[0]["body"]


def test_a_pull_request_that_is_there_is_adopted(built, double):
    git(built.repository.path, "push", "-q", str(built.bare), f"{built.tip}:refs/heads/{built.branch}")
    double._open({"head": built.branch, "base": "main", "title": "By hand", "body": "", "draft": True})
    built.go()
    assert len(double.pulls) == 1 and built.row()["number"] == 1 and built.state() == "completed"
    assert (double.pulls[0]["title"], double.pulls[0]["body"], double.pulls[0]["draft"]) == ("By hand", "", True), "what a person wrote is left alone"


def test_a_courier_that_comes_too_late_opens_no_second_pull_request(built, double):
    """It had read the row before another one went on, and meanwhile a person closed the pull request."""
    db, courier = built.db, Deliverer(built.db, built.config)
    late = []
    double.mood = lambda method, path: late.append(built.row()) if method == "POST" and path.endswith("/pulls") else None
    built.go()
    assert late[0]["state"] == "pushed" and built.row()["state"] == "watched"
    double.close(1)
    asked = len(double.seen)
    courier.step(late[0])
    assert len(double.pulls) == 1 and len(double.seen) == asked and db.value("select count(*) from requests where kind = 'delivery'") == 0


def test_one_pull_request_for_each_feature_onto_the_integration_branch(db, forge, double, tmp_path):
    built = Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT), features=2, pull_requests="feature")
    built.go()
    assert built.state() == "completed"
    assert [(pull["base"]["ref"], pull["draft"]) for pull in double.pulls] == [(built.branch, False)] * 2
    assert built.remote_head() == built.base, "people merge the features there"
    assert [built.ticket(ticket)["pr_url"][-1] for ticket in ("TKT-002", "TKT-003")] == ["1", "2"] and built.ticket()["pr_url"] is None
    double.merge(1)
    built.go()
    assert built.row("TKT-002")["state"] == "merged" and len(double.pulls) == 2
    double.merge(2)
    built.go()
    assert double.pulls[2]["base"]["ref"] == "main" and double.pulls[2]["head"]["ref"] == built.branch and built.ticket()["pr_url"].endswith("/3")


# What keeps it from going on


def answer(built, text):
    answers.answer_request(built.db, "default", built.asked()["seq"], text)


def test_a_permanent_refusal_asks_a_person_once_and_goes_on_when_they_say_so(plain):
    git(plain.bare, "branch", "swarm", "main")
    plain.go()
    assert plain.state() == "building" and plain.row()["waiting"] == "person"
    assert plain.db.value("select count(*) from requests") == 1
    assert "a branch named swarm," in plain.asked()["body"] and json.loads(plain.asked()["options"]) == [RETRY, WITHOUT]
    git(plain.bare, "branch", "-D", "swarm")
    answer(plain, RETRY)
    plain.go()
    assert plain.state() == "completed" and plain.remote_head() == plain.tip


def test_a_person_may_finish_without_delivery(plain):
    git(plain.bare, "branch", "swarm", "main")
    plain.go()
    answer(plain, WITHOUT)
    assert plain.state() == "completed" and plain.row()["state"] == "dropped" and "without delivery" in plain.ticket()["reason"]


def test_an_answer_that_is_not_offered_is_refused_and_one_given_twice_too(plain):
    git(plain.bare, "branch", "swarm", "main")
    plain.go()
    seq = plain.asked()["seq"]
    for text in (APPROVE, "yes", NO_SECRET):
        with pytest.raises(BadRequest):
            answer(plain, text)
    answer(plain, RETRY)
    with pytest.raises(WrongState):
        answers.answer_request(plain.db, "default", seq, RETRY)


def test_a_passing_trouble_is_tried_again_and_after_long_enough_a_person_is_asked(built, double):
    double.mood = lambda method, path: (503, {}, b"")
    built.go(3)
    assert (built.row()["waiting"], built.row()["tries"]) == (None, 3) and built.row()["not_before"]
    double.mood = lambda method, path: None
    built.go()
    assert built.state() == "completed" and built.row()["tries"] == 0
    built.intend()
    double.mood = lambda method, path: (503, {}, b"")
    built.go(20)
    assert built.row()["waiting"] == "person" and "tried 12 times" in built.asked()["body"]


def test_a_token_in_a_file_is_read_anew_and_an_empty_file_is_waited_for(db, forge, double, tmp_path, built):
    """As whatever renews an App's installation token leaves it: emptied, then written; the old one is refused by then."""
    file = tmp_path / "token"
    config = dataclasses.replace(forge, forge_token="", forge_token_file=file)
    file.write_text(TOKEN)
    double.mood = lambda method, path: (file.write_text("") or None) if path.endswith("git-receive-pack") else None
    built.go(3, config)
    assert built.remote_head() == built.tip and built.row()["state"] == "pushed" and "is empty" in built.row()["reason"] and built.asked() is None
    double.token = "ghs-" + "renewed" * 4
    double.mood = lambda method, path: None
    file.write_text(double.token + "\n")
    built.go(config=config)
    assert built.state() == "completed" and built.row()["pr_url"] and len(double.pulls) == 1
    file.unlink()
    built.go(1, config)
    assert "cannot be read" in built.asked()["body"]


def test_a_refused_token_pauses_all_deliveries_to_that_repository(db, forge, double, tmp_path, built):
    other = Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT))
    double.mood = lambda method, path: (401, {"WWW-Authenticate": "Basic"}, b"")
    built.go(config=forge)
    assert [row[0] for row in db.all("select waiting from deliveries order by seq")] in (["token", None], [None, "token"])
    assert db.value("select count(*) from requests where kind = 'delivery'") == 1
    double.mood = lambda method, path: None
    built.go()
    assert double.pulls == []
    asking = built if built.asked() else other
    answer(asking, RETRY)
    built.go()
    assert len(double.pulls) == 2 and {built.state(), other.state()} == {"completed"}


def test_a_limit_of_the_forge_is_waited_for_as_long_as_it_says(built, double):
    double.mood = lambda method, path: reply(403, {"message": "secondary rate limit"}, Retry_After="40") if path.startswith("/api") else None
    built.go(1)
    assert built.row()["state"] == "pushed" and built.row()["waiting"] is None and built.row()["tries"] == 0
    now = built.db.value("select strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+30 seconds')")
    assert deliveries.due(built.db, now) == []
    assert built.row()["not_before"] > now


def test_what_was_moved_by_somebody_else_is_left_as_it_is(plain, tmp_path):
    plain.go()
    git(tmp_path, "clone", "-q", "-b", plain.branch, str(plain.bare), "theirs")
    git(tmp_path / "theirs", "commit", "-q", "--allow-empty", "-m", "theirs")
    git(tmp_path / "theirs", "push", "-q", "origin", plain.branch)
    theirs = plain.remote_head()
    plain.merged("TKT-002", "Part 1", {"more.txt": "x"})
    plain.intend()
    plain.go()
    assert plain.remote_head() == theirs and "moved by somebody else" in plain.asked()["body"]


# What is looked at before


def test_protected_paths_need_a_person_who_approves_this_commit(db, forge, double, tmp_path):
    built = Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT), files={".github/workflows/ci.yml": "on: push\n"})
    built.go()
    assert built.remote_head() is None and ".github/workflows/ci.yml" in built.asked()["body"]
    assert json.loads(built.asked()["options"]) == [APPROVE, WITHOUT] and built.tip[:12] in built.asked()["body"]
    answer(built, APPROVE)
    built.go()
    assert built.state() == "completed" and built.remote_head() == built.tip
    built.merged("TKT-002", "Part 1", {"more.txt": "x"})
    built.intend()
    built.go()
    assert built.asked() is not None and built.remote_head() != built.tip, "another commit needs another approval"


def test_a_secret_stops_the_delivery_with_file_and_line_and_without_its_value(db, forge, double, tmp_path):
    secret = "correct-horse-battery"
    forge = dataclasses.replace(forge, openai_key=secret)
    built = Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT), files={"settings.py": f"A = 1\nKEY = '{secret}'\n"})
    built.go()
    assert built.remote_head() is None and "settings.py:2" in built.asked()["body"] and json.loads(built.asked()["options"]) == [RETRY, WITHOUT]
    built.db.execute("pragma wal_checkpoint(truncate)")
    rows = [json.dumps([tuple(row) for row in db.all(f"select * from {table}")], default=str) for table in ("deliveries", "requests", "events", "tickets")]
    assert not any(secret in text for text in rows)


def test_what_only_looks_like_a_secret_can_be_cleared_for_this_commit(db, forge, double, tmp_path):
    like = "ghp" + "_" + "a1B2" * 9
    built = Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT), files={"fixture.txt": f"{like}\n"})
    built.go()
    assert json.loads(built.asked()["options"]) == [RETRY, NO_SECRET, WITHOUT] and like not in built.asked()["body"]
    answer(built, NO_SECRET)
    built.go()
    assert built.state() == "completed"


def test_the_token_is_in_no_row_log_or_pull_request(built, double, config, caplog):
    caplog.set_level("DEBUG")
    built.go()
    double.mood = lambda method, path: reply(404, {"message": f"no {TOKEN}"})
    built.intend()
    built.go()
    tables = [row[0] for row in built.db.all("select name from sqlite_schema where type = 'table' and sql not like '%without rowid%'")]
    for table in tables:
        assert TOKEN not in json.dumps([tuple(row) for row in built.db.all(f"select * from {table}")], default=str), table
    assert TOKEN not in caplog.text and TOKEN not in json.dumps(double.pulls)
    files = [path for path in config.data.rglob("*") if path.is_file() and "swarm.db" not in path.name]
    assert files and not any(TOKEN.encode() in path.read_bytes() for path in files)


# With the rest of the engine


def test_settling_again_and_again_does_not_start_a_second_integrate_run(plain):
    for _ in range(3):
        with plain.db.transaction():
            settle.session(plain.db, plain.session)
    assert plain.ticket()["status"] == "running"


def test_a_feature_that_is_opened_again_overtakes_the_delivery(plain):
    plain.db.execute("update tickets set status = 'ready' where id = 'TKT-002'")
    with plain.db.transaction():
        settle.session(plain.db, plain.session)
    assert plain.row()["state"] == "dropped"
    plain.go()
    assert plain.remote_head() is None and plain.state() == "building"


def test_a_cancelled_or_paused_build_is_not_delivered(plain):
    actions.pause_session(plain.db, plain.session)
    plain.go()
    assert plain.remote_head() is None
    actions.resume_session(plain.db, plain.session)
    actions.cancel_session(plain.db, plain.session, "No more.")
    plain.go()
    assert plain.remote_head() is None and plain.ticket()["status"] == "cancelled"


def test_an_epic_that_is_completed_by_hand_is_not_delivered_any_more(plain):
    plain.db.execute("update tickets set status = 'completed' where id = ?", (plain.epic,))
    plain.go()
    assert plain.remote_head() is None


def test_a_whole_build_ends_with_a_pull_request_that_holds_its_work(db, forge, double):
    """The engine's own threads, a real sandboxless run, a private repository that is fetched with the token, and only its own branch."""
    forge = dataclasses.replace(forge, runtime="process", slots=2, poll_seconds=0.2)
    session = build(db, forge, {"name": "Real", "repository": f"{double.url}/{PROJECT}.git", "features": [
        {"title": "New", "description": "```sh\necho new > new.txt\n```\n", "acceptance_criteria": [{"text": "There", "check": "test -f new.txt"}]}]})
    engine = SwarmEngine(db, forge)
    engine.start()
    try:
        until(lambda: db.value("select state from hitl_sessions where id = ?", (session,)) in ("completed", "failed"))
        until(lambda: db.value("select state from deliveries") == "watched" or engine.errors)
        assert list(engine.errors) == []
        assert set(statuses(db, session).values()) == {"completed"}, [tuple(row) for row in db.all("select ticket_id, outcome, reason from runs")]
        branch = double.pulls[0]["head"]["ref"]
        assert git(double.repository(PROJECT), "show", f"{branch}:new.txt") == "new\n" and not double.pulls[0]["draft"]
        double.merge(1)
        until(lambda: db.value("select state from deliveries") == "merged")
        assert "was merged" in db.value("select reason from hitl_sessions where id = ?", (session,))
    finally:
        engine.stop()
    assert list(engine.errors) == []


def test_a_slow_forge_holds_up_no_shutdown(db, forge, double, tmp_path):
    held = threading.Event()
    Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT))
    double.mood = lambda method, path: held.wait(HANG) and None
    engine = SwarmEngine(db, dataclasses.replace(forge, runtime="process"))
    engine.start()
    until(lambda: double.seen)
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < HANG / 2
    held.set()


def test_the_forge_answers_nothing_but_its_own_host(db, forge, double, tmp_path, built):
    with Server(tmp_path / "elsewhere") as other:
        double.mood = lambda method, path: (302, {"Location": f"http://localhost:{other.port}{path}"}, b"") if path.startswith("/api") else None
        built.go()
        assert other.seen == [] and built.row()["waiting"] == "person"


def test_a_base_branch_that_was_deleted_is_said_and_nothing_is_opened(double, db, forge, tmp_path):
    built = Built(db, forge, tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT), base_branch="release")
    built.go()
    assert "The branch release is not there any more, so no pull request can be opened for it." in built.asked()["body"]
    assert built.state() == "building" and double.pulls == []
    git(built.bare, "branch", "release", "main")
    answers.answer_request(db, "default", built.asked()["seq"], RETRY)
    built.go()
    assert built.state() == "completed" and built.ticket()["pr_url"]
