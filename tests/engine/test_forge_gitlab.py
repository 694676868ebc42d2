"""GitLab by python-gitlab, against a double that is held against tables of what GitLab documents."""
import signal

import pytest
from conftest import git
from delivery_side import PROJECT, Built, for_forge, process, served
from forge_http import TOKEN, Server, head_of, reply
from gitlab_double import GitLabDouble

from engine.config import Config
from engine.errors import Permanent, RateLimited, TokenRefused, Transient
from engine.forge import Place, connect
from engine.forge.base import MARK
from engine.forge.own_text import marked

BRANCH = "swarm/abc/tkt-001-x"


@pytest.fixture
def double(tmp_path):
    with GitLabDouble(served(tmp_path)) as server:
        git(server.repository("acme/widget"), "branch", BRANCH, "main")
        yield server
        assert server.faults == []


@pytest.fixture
def forge(double):
    return connect(Config(forge_token=TOKEN, forge="gitlab"), Place("gitlab", double.url, "acme/widget"))


def test_a_change_is_opened_as_a_draft_adopted_and_made_ready(double, forge):
    assert forge.default_branch() == "main" and forge.find_open_change(BRANCH) is None
    made = forge.open_change(BRANCH, "main", "T", "B")
    assert (made.number, made.draft, made.url) == (1, True, f"{double.url}/acme/widget/-/merge_requests/1")
    assert forge.find_open_change(BRANCH) == made == forge.open_change(BRANCH, "main", "T", "B") and len(double.changes) == 1
    forge.finish_draft(1, "T2", "B2")
    assert (double.changes[0]["title"], double.changes[0]["description"], double.changes[0]["draft"]) == ("T2", marked("T2", "B2"), False)


def test_the_state_of_a_change_with_its_failed_job_and_the_remarks_of_members(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    head = head_of(double.repository("acme/widget"), BRANCH)
    double.fail(head, "rspec", "x" * 50_000 + "\x1b[31mexpected 1\x1b[0m")
    double.say(1, "ann", "Rename it.", position={"new_path": "a.py", "new_line": 3})
    for name, text, more in (("project_5_bot_0a1b", "Scan.", {}), ("guest", "Mine coins.", {"level": 10}), ("bob", "changed the title", {"system": True}),
                             ("swarm", f"Pushed. {MARK}", {})):
        double.say(1, name, text, **more)
    state = forge.check_state(1)
    assert (state.state, state.head, state.pending) == ("open", head, False)
    assert [failed.name for failed in state.failed] == ["rspec"] and state.failed[0].log.endswith("expected 1") and len(state.failed[0].log) < 10_000
    assert [(r.author, r.text, r.path, r.line, r.bot, forge.may_write(r)) for r in state.remarks] == [
        ("ann", "Rename it.", "a.py", 3, False, True), ("project_5_bot_0a1b", "Scan.", "", None, True, True), ("guest", "Mine coins.", "", None, False, False)]
    double.move(1, "locked")
    assert forge.check_state(1).state == "open", "it is being merged"
    double.move(1, "merged")
    assert forge.check_state(1).state == "merged"


def test_who_may_write_is_what_the_membership_says(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    for name, level in (("owner", 50), ("developer", 30), ("reporter", 20), ("stranger", 0)):
        double.say(1, name, "Rename it.", level=level)
    remarks = forge.check_state(1).remarks
    assert {remark.author: forge.may_write(remark) for remark in remarks} == {"owner": True, "developer": True, "reporter": False, "stranger": False}
    double.mood = lambda method, path: reply(403, {"message": "403 Forbidden"}) if "/members/" in path else None
    assert forge.may_write(remarks[0]) is None
    double.mood = lambda method, path: reply(429, {"message": "Retry later"}) if "/members/" in path else None
    with pytest.raises(RateLimited):
        forge.may_write(remarks[0])


def test_the_newest_notes_are_read_however_much_the_system_noted(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    double.say(1, "ann", "First.")
    for number in range(1100):
        double.say(1, "bob", f"added commit {number}", system=True)
    double.say(1, "eve", "Last.")
    assert [remark.text for remark in forge.check_state(1).remarks] == ["Last."]
    double.notes[1] = double.notes[1][:101] + double.notes[1][-1:]
    assert [remark.text for remark in forge.check_state(1).remarks] == ["First.", "Last."]


def test_a_failed_job_is_found_behind_many_that_may_fail_and_in_a_pipeline_that_still_runs(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    head = head_of(double.repository("acme/widget"), BRANCH)
    for _ in range(120):
        double.pipelines.setdefault("other", []).append({"id": double.new_id(), "sha": "f" * 40, "status": "success", "ref": "x", "source": "push"})
    double.fail(head, "rspec", "expected 1", status="running")
    jobs = double.jobs[double.pipelines[head][-1]["id"]]
    jobs[:0] = [{"id": double.new_id(), "name": f"flaky {n}", "status": "failed", "allow_failure": True} for n in range(130)]
    state = forge.check_state(1)
    assert state.pending and [failed.name for failed in state.failed] == ["rspec"]
    double.pipelines[head][-1]["status"] = "failed"
    assert not forge.check_state(1).pending


def test_a_failed_status_of_another_program_is_named(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    head = head_of(double.repository("acme/widget"), BRANCH)
    double.pipelines[head] = [{"id": 77, "sha": head, "status": "failed", "ref": "x", "source": "external"}]
    double.jobs[77] = []
    double.statuses[head] = [{"id": n, "sha": head, "name": f"ok {n}", "status": "success", "allow_failure": False, "pipeline_id": 77} for n in range(1, 150)]
    double.statuses[head].append({"id": 150, "sha": head, "name": "jenkins", "status": "failed", "description": "3 tests failed", "allow_failure": False,
                                  "pipeline_id": 77})
    assert [(failed.name, failed.log) for failed in forge.check_state(1).failed] == [("jenkins", "3 tests failed")]


@pytest.mark.parametrize(("answer", "error"), [
    (reply(401, {"message": "401 Unauthorized"}), TokenRefused), (reply(429, {"message": "Too many"}, Retry_After="3"), RateLimited),
    (reply(403, {"message": "403 Forbidden"}), Permanent), (reply(502, {}), Transient), (reply(404, {"message": "404"}), Permanent),
    ((200, {"Content-Type": "application/json"}, b"{"), Permanent), (reply(200, {"default_branch": None}), Permanent), (reply(200, [1]), Permanent)])
def test_what_a_forge_may_answer_becomes_an_error_that_says_whether_to_try_again(double, forge, answer, error):
    double.mood = lambda method, path: answer
    with pytest.raises(error) as raised:
        forge.default_branch()
    assert type(raised.value) is error and TOKEN not in raised.value.sentence


def test_a_redirect_to_another_host_never_carries_the_token(double, forge, tmp_path):
    with Server(tmp_path) as other:
        double.mood = lambda method, path: (302, {"Location": f"http://localhost:{other.port}{path}"}, b"")
        for call in (forge.default_branch, lambda: forge.open_change(BRANCH, "main", "T", "B")):
            with pytest.raises(Permanent, match="redirects"):
                call()
        assert other.seen == []


def test_a_build_is_delivered_and_its_merge_comes_back(db, config, double, tmp_path):
    config = for_forge(config, double.url)
    built = Built(db, Config(**{**vars(config), "forge": "gitlab"}), tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT))
    built.go()
    assert built.state() == "completed" and built.ticket()["pr_url"].endswith("/-/merge_requests/1") and not double.changes[0]["draft"]
    double.changes[0]["state"] = "merged"
    built.go()
    assert built.row()["state"] == "merged"


@pytest.mark.parametrize("point", ["after-push", "after-open", "before-complete", "after-ready"])
def test_killed_on_the_way_out_it_gives_exactly_one_merge_request(db, config, double, tmp_path, point):
    built = Built(db, Config(**{**vars(for_forge(config, double.url)), "forge": "gitlab"}), tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT))
    assert process(built, double.url, point) == -signal.SIGKILL, "the point is on the way"
    assert process(built, double.url) == 0
    assert (built.state(), built.row()["state"], len(double.changes)) == ("completed", "watched", 1)
    assert built.remote_head() == built.tip and built.row()["number"] == 1 and not double.changes[0]["draft"]
