"""GitHub by PyGithub, against a double that is held against GitHub's own description."""
import json
import os
import subprocess
import time

import pytest
from conftest import git, require
from forge_http import TOKEN, Server, reply
from github_double import GitHubDouble

from engine.config import Config
from engine.errors import Permanent, RateLimited, TokenRefused, Transient
from engine.forge import Place, connect, place_of, wire
from engine.forge.base import MARK
from engine.forge.own_text import marked

BRANCH = "swarm/abc/tkt-001-x"


@pytest.fixture
def double(tmp_path):
    bare = tmp_path / "served" / "acme" / "widget.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    git(tmp_path, "init", "-q", "-b", "main", "w")
    git(tmp_path / "w", "commit", "-q", "--allow-empty", "-m", "c")
    git(tmp_path / "w", "push", "-q", str(bare), "main", f"main:refs/heads/{BRANCH}")
    with GitHubDouble(tmp_path / "served") as server:
        yield server
        assert server.faults == []


@pytest.fixture
def forge(double):
    return connect(Config(forge_token=TOKEN, forge_url=double.url), Place("github", double.url, "acme/widget"))


def sha(double):
    return git(double.repository("acme/widget"), "rev-parse", BRANCH).strip()


def test_a_change_is_opened_as_a_draft_found_again_and_made_ready(double, forge):
    assert forge.default_branch() == "main"
    assert forge.find_open_change(BRANCH) is None
    made = forge.open_change(BRANCH, "main", "T", "B")
    assert (made.number, made.draft, made.ours, made.url) == (1, True, True, f"{double.url}/acme/widget/pull/1")
    assert forge.find_open_change(BRANCH) == made
    forge.finish_draft(1, "T2", "B2")
    assert (double.pulls[0]["draft"], double.pulls[0]["title"], double.pulls[0]["body"]) == (False, "T2", marked("T2", "B2"))


def test_one_that_exists_already_is_adopted(double, forge):
    first = forge.open_change(BRANCH, "main", "T", "B")
    assert forge.open_change(BRANCH, "main", "T", "B") == first and len(double.pulls) == 1


def test_where_drafts_are_not_supported_it_is_opened_without(double, forge):
    double.drafts = False
    assert forge.open_change(BRANCH, "main", "T", "B").draft is False


def test_a_refusal_says_what_github_says(double, forge):
    with pytest.raises(Permanent, match="head is invalid"):
        forge.open_change("swarm/none", "main", "T", "B")


def test_the_state_of_a_change_with_its_failed_job_and_the_end_of_its_log(double, forge, tmp_path):
    forge.open_change(BRANCH, "main", "T", "B")
    with Server(tmp_path) as storage:
        storage.mood = lambda method, path: (200, {"Content-Type": "text/plain"}, b"x" * 50_000 + b"\x1b[31mAssertionError\x1b[0m: 1 != 2\n")
        double.check(sha(double), "build", "failure", f"{storage.url}/signed?key=1")
        double.check(sha(double), "lint", "success")
        state = forge.check_state(1)
        assert state.state == "open" and state.head == sha(double) and not state.pending
        assert [failed.name for failed in state.failed] == ["build"] and state.failed[0].log.endswith("AssertionError: 1 != 2\n")
        assert len(state.failed[0].log) < 10_000
        assert all("Authorization" not in headers for _, _, headers in storage.seen) and storage.seen
    double.check(sha(double), "slow", None)
    assert forge.check_state(1).pending


def test_comments_are_read_with_who_wrote_them_and_never_our_own(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    double.say(1, "ann", "Please rename it.")
    double.say(1, "ci", "Coverage fell.", kind="Bot")
    double.say(1, "dependabot[bot]", "Bump it.")
    double.say(1, "stranger", "Add my miner.", association="NONE")
    double.say_on_line(1, "bob", "Why here?", "a.py", 7)
    double.review(1, "eve", "As a whole: no.", association="CONTRIBUTOR")
    forge.comment(1, "Pushed.")
    assert MARK in double.comments[1][-1]["body"]
    remarks = forge.check_state(1).remarks
    assert [(r.author, r.text, r.path, r.line) for r in remarks] == [
        ("bob", "Why here?", "a.py", 7), ("eve", "As a whole: no.", "", None), ("ann", "Please rename it.", "", None), ("ci", "Coverage fell.", "", None),
        ("dependabot[bot]", "Bump it.", "", None), ("stranger", "Add my miner.", "", None)]
    assert [r.author for r in remarks if r.bot] == ["ci", "dependabot[bot]"]
    assert [r.author for r in remarks if r.member] == ["bob", "ann", "ci", "dependabot[bot]"]


def test_who_may_write_is_what_the_permission_endpoint_says_not_the_association(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    for name, association, permission in (("private", "CONTRIBUTOR", "write"), ("hidden", "NONE", "admin"), ("reader", "MEMBER", "read"),
                                          ("none", "COLLABORATOR", "none"), ("stranger", "NONE", "read"), ("gone", "MEMBER", "write"),
                                          ("lost", "NONE", "write")):
        double.say(1, name, "Rename it.", association=association, permission=permission)
    for name in ("gone", "lost"):
        del double.permissions[name]
    remarks = {remark.author: remark for remark in forge.check_state(1).remarks}
    assert {name: forge.may_write(remark) for name, remark in remarks.items()} == {
        "private": True, "hidden": True, "reader": False, "none": False, "stranger": False, "gone": True, "lost": None}
    double.mood = lambda method, path: reply(403, {"message": "Must have push access to view collaborator permission."}) if "permission" in path else None
    assert (forge.may_write(remarks["private"]), forge.may_write(remarks["reader"])) == (None, True), "then the association is all there is"
    double.mood = lambda method, path: reply(403, {"message": "You have exceeded a secondary rate limit"}) if "permission" in path else None
    with pytest.raises(RateLimited):
        forge.may_write(remarks["private"])
    double.mood = lambda method, path: reply(401, {"message": "Bad credentials"}) if "permission" in path else None
    with pytest.raises(TokenRefused):
        forge.may_write(remarks["private"])


@pytest.mark.parametrize("kind", ["say", "on_line", "review"])
def test_the_newest_of_many_comments_are_read(double, forge, kind):
    forge.open_change(BRANCH, "main", "T", "B")
    play = {"say": lambda text: double.say(1, "noise", text), "on_line": lambda text: double.say_on_line(1, "noise", text, "a.py", 1),
            "review": lambda text: double.review(1, "noise", text)}[kind]
    for number in range(1250):
        play(f"{number}")
    texts = [int(remark.text) for remark in forge.check_state(1).remarks]
    assert texts == sorted(texts) and texts[-1] == 1249 and len(texts) >= 900
    pages = [path for _, path, _ in double.seen if "per_page=100" in path and {"say": "/issues/1/comments", "on_line": "/pulls/1/comments",
                                                                              "review": "/reviews"}[kind] in path]
    assert len(pages) == 10, "a bounded number of pages"


def test_every_status_is_read_not_only_those_of_the_first_page(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    for number in range(250):
        double.status(sha(double), f"ci/{number}", "success")
    double.status(sha(double), "ci/last", "failure", "It broke.")
    state = forge.check_state(1)
    assert [(failed.name, failed.log) for failed in state.failed] == [("ci/last", "It broke.")] and not state.pending
    double.status(sha(double), "tide", "pending", "Needs approval.")
    assert forge.check_state(1).pending


def test_every_check_is_read_not_only_those_of_the_first_pages(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    for number in range(210):
        double.check(sha(double), f"shard {number}", "success")
    double.check(sha(double), "last", "failure")
    assert [failed.name for failed in forge.check_state(1).failed] == ["last"]


def test_merged_and_closed(double, forge):
    forge.open_change(BRANCH, "main", "T", "B")
    double.merge(1)
    assert forge.check_state(1).state == "merged"
    double.pulls[0] |= {"merged": False}
    assert forge.check_state(1).state == "closed"


@pytest.mark.parametrize(("answer", "error", "wait"), [
    (reply(401, {"message": "Bad credentials"}), TokenRefused, None),
    (reply(403, {"message": "You have exceeded a secondary rate limit"}, Retry_After="17"), RateLimited, 17.0),
    (reply(429, {"message": "Slow down"}, Retry_After="5"), RateLimited, 5.0),
    (reply(403, {"message": "Resource not accessible by personal access token"}), Permanent, None),
    (reply(502, {"message": "Bad gateway"}), Transient, None),
    (reply(404, {"message": "Not Found"}), Permanent, None),
    ((200, {"Content-Type": "application/json"}, b"[1, 2"), Permanent, None),
    (reply(200, {"default_branch": 7}), Permanent, None),
    (reply(200, [1]), Permanent, None),
    ((200, {"Content-Type": "application/json"}, b'"' + b"x" * 11_000_000 + b'"'), Permanent, None)])
def test_what_a_forge_may_answer_becomes_an_error_that_says_whether_to_try_again(double, forge, answer, error, wait):
    double.mood = lambda method, path: answer
    with pytest.raises(error) as raised:
        forge.default_branch()
    assert type(raised.value) is error and TOKEN not in raised.value.sentence
    assert raised.value.extra.get("wait") == wait


def test_a_rate_limit_without_retry_after_is_waited_for_until_its_reset(double, forge):
    double.mood = lambda method, path: reply(403, {"message": "limit"}, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(int(time.time()) + 100))
    with pytest.raises(RateLimited) as raised:
        forge.default_branch()
    assert 90 < raised.value.extra["wait"] <= 101


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_never_carries_the_token(double, forge, tmp_path, status):
    with Server(tmp_path) as other:
        double.mood = lambda method, path: (status, {"Location": f"http://localhost:{other.port}{path}"}, b"")
        for call in (forge.default_branch, lambda: forge.open_change(BRANCH, "main", "T", "B")):
            with pytest.raises(Permanent, match=r"redirects|another address"):
                call()
        assert other.seen == []


def test_no_request_goes_to_any_other_origin_whatever_leads_there(double, tmp_path):
    with Server(tmp_path) as other:
        for url in (other.url, f"http://localhost:{double.port}", f"http://127.0.0.1:{double.port}@localhost:{other.port}/"):
            with pytest.raises(Permanent, match="points to another address"):
                wire.session(double.url).get(url, headers={"Authorization": TOKEN})
        assert other.seen == [] and double.seen == []


def test_a_page_on_another_host_is_not_kept(double, forge):
    made = forge.open_change(BRANCH, "main", "T", "B")
    assert made.url
    for url in ("https://evil.example/1", "javascript:alert(1)", f"{double.url}.evil.example/1", f"{double.url}@evil.example/", "http://127.0.0.1/x"):
        double.pulls[0]["html_url"] = url
        assert forge.find_open_change(BRANCH).url is None


def test_places():
    def place(url, **settings):
        return place_of(Config(forge_token="t", **settings), url)
    assert place("https://github.com/acme/widget.git") == Place("github", "https://github.com", "acme/widget")
    assert place("git@github.com:acme/widget.git") == place("ssh://git@github.com/acme/widget") == place("https://github.com/acme/widget")
    assert place("https://gitlab.com/a/b/c.git") == Place("gitlab", "https://gitlab.com", "a/b/c")
    assert place("https://git.example.com/a/b", forge_url="https://git.example.com", forge="gitlab") == Place("gitlab", "https://git.example.com", "a/b")
    for url in ("https://git.example.com/a/b", "/srv/git/a.git", "https://github.com/acme", "https://github.com.evil.example/a/b", "http://github.com/a/b"):
        assert place(url) is None
    assert place("https://github.com/a/b", forge="none") is None and place_of(Config(), "https://github.com/a/b") is None
    assert place("https://github.com/a/b", forge_url="https://ghe.example.com") is None


def test_a_missing_library_is_named_with_what_to_install(double):
    code = ("import sys; sys.modules['github'] = None\nfrom engine.config import Config\nfrom engine.errors import Permanent\n"
            "from engine.forge import Place, connect\n"
            "try:\n    connect(Config(forge_token='t'), Place('github', 'https://github.com', 'a/b'))\nexcept Permanent as error:\n    print(error.sentence)")
    said = subprocess.run([os.sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install -e '.[github]'" in said


def test_the_double_answers_githubs_own_client(double, tmp_path):
    require("gh")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GH_ENTERPRISE_TOKEN": TOKEN, "GH_HOST": "127.0.0.1", "GH_NO_UPDATE_NOTIFIER": "1",
           "NO_COLOR": "1"}

    def gh(path, *options):
        done = subprocess.run(["gh", "api", f"{double.url}/api/v3/repos/acme/widget{path}", *options], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
    assert gh("")["default_branch"] == "main"
    made = gh("/pulls", "-f", "title=T", "-f", "body=B", "-f", f"head={BRANCH}", "-f", "base=main", "-F", "draft=true")
    assert (made["number"], made["draft"]) == (1, True)
    assert [pull["number"] for pull in gh(f"/pulls?state=open&head=acme:{BRANCH}")] == [1]
    assert gh(f"/commits/{sha(double)}/check-runs") == {"total_count": 0, "check_runs": []}
