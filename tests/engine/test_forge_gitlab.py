"""GitLab by python-gitlab, against a double in this file. GitLab's own OpenAPI description (doc/api/openapi/openapi_v3.yaml, CC BY-SA 4.0) is not kept
here, and could be no judge as it is: it says "one merge request" where a list is answered, text where an access level is a number, JSON where a
log is text, and no property of an answer is required. So requests and answers are held against tables of what is documented, in our own words."""
import json
import re
import signal
from copy import deepcopy
from urllib.parse import unquote, urlsplit

import pytest
from conftest import git
from delivery_side import PROJECT, Built, for_forge, process, served
from forge_http import TOKEN, Server, head_of, query, reply

from engine.config import Config
from engine.errors import Permanent, RateLimited, TokenRefused, Transient
from engine.forge import Place, connect
from engine.forge.base import MARK

API = "/api/v4/projects/acme/widget"
BRANCH = "swarm/abc/tkt-001-x"
# (method, path) -> the parameters that GitLab documents for it, as far as we send any
DOCUMENTED = {
    ("GET", ""): {"license", "statistics", "with_custom_attributes"},
    ("GET", "/merge_requests"): {"state", "source_branch", "target_branch", "page", "per_page", "order_by", "sort", "pagination"},
    ("POST", "/merge_requests"): {"source_branch", "target_branch", "title", "description", "remove_source_branch", "squash", "labels"},
    ("GET", "/merge_requests/N"): {"render_html"}, ("PUT", "/merge_requests/N"): {"title", "description", "state_event", "target_branch"},
    ("GET", "/merge_requests/N/pipelines"): {"page", "per_page"}, ("GET", "/merge_requests/N/notes"): {"sort", "order_by", "page", "per_page"},
    ("POST", "/merge_requests/N/notes"): {"body", "internal"}, ("GET", "/pipelines/N/jobs"): {"scope[]", "include_retried", "page", "per_page"},
    ("GET", "/jobs/N/trace"): set(), ("GET", "/members/all/N"): set()}
REQUIRED = {("POST", "/merge_requests"): {"source_branch", "target_branch", "title"}, ("POST", "/merge_requests/N/notes"): {"body"}}
# What is answered, as far as we read it: a property's type, or the values that it may have
CHANGE = {"id": int, "iid": int, "state": ("opened", "closed", "locked", "merged"), "title": str, "description": str, "draft": bool, "sha": str,
          "source_branch": str, "target_branch": str, "source_project_id": int, "target_project_id": int, "web_url": str}
NOTE = {"id": int, "body": str, "system": bool, "noteable_iid": int, "author": {"id": int, "username": str, "name": str, "state": str}}
STATUSES = ("created", "waiting_for_resource", "preparing", "pending", "running", "success", "failed", "canceling", "canceled", "skipped", "manual",
            "scheduled")
ANSWERS = {
    "": {"id": int, "path_with_namespace": str, "default_branch": str, "web_url": str, "permissions": dict},
    "/merge_requests": CHANGE, "/merge_requests/N": CHANGE, "/merge_requests/N/notes": NOTE,
    "/merge_requests/N/pipelines": {"id": int, "sha": str, "ref": str, "status": STATUSES, "source": str},
    "/pipelines/N/jobs": {"id": int, "name": str, "status": STATUSES, "allow_failure": bool},
    "/members/all/N": {"id": int, "username": str, "access_level": int}}
LISTS = {("GET", "/merge_requests"), ("GET", "/merge_requests/N/notes"), ("GET", "/merge_requests/N/pipelines"), ("GET", "/pipelines/N/jobs")}


def fits(value, wanted):
    """Whether an answer has all of these properties, each of its type."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(name in value and fits(value[name], kind) for name, kind in wanted.items())
    return value in wanted if isinstance(wanted, tuple) else type(value) is wanted


class GitLabDouble(Server):
    def __init__(self, root):
        super().__init__(root)
        self.changes, self.notes, self.pipelines, self.jobs, self.traces, self.levels, self.faults = [], {}, {}, {}, {}, {}, []
        self._ids = 100

    def new_id(self):
        self._ids += 1
        return self._ids

    def say(self, number, name, text, level=30, **more):
        author = {"id": self.new_id(), "username": name, "name": name, "state": "active"}
        self.levels[author["id"]] = level
        self.notes.setdefault(number, []).append({"id": self.new_id(), "body": text, "author": author, "system": False, "noteable_iid": number, **more})

    def fail(self, sha, job, log):
        pipeline, number = self.new_id(), self.new_id()
        self.pipelines.setdefault(sha, []).append({"id": pipeline, "sha": sha, "status": "failed", "ref": "x", "source": "push"})
        self.jobs[pipeline] = [{"id": number, "name": job, "status": "failed", "allow_failure": False},
                               {"id": self.new_id(), "name": "optional", "status": "failed", "allow_failure": True}]
        self.traces[number] = log

    def answer(self, method, path, headers, body):
        if headers.get("Private-Token", headers.get("PRIVATE-TOKEN")) != self.token:
            return reply(401, {"message": "401 Unauthorized"})
        place = unquote(urlsplit(path).path)
        if not place.startswith(API):
            return reply(404, {"message": "404 Project Not Found"})
        rest, given = place.removeprefix(API), json.loads(body) if body else {}
        shape = (method, re.sub(r"/\d+", "/N", rest))
        sent = set(query(path)) | set(given)
        if shape not in DOCUMENTED or sent - DOCUMENTED[shape] or REQUIRED.get(shape, set()) - sent:
            self.faults.append((shape, sorted(sent)))
        with self.lock:
            status, extra, data = self._route(method, rest, [int(n) for n in re.findall(r"/(\d+)", rest)], query(path), given)
        if status < 300 and shape[1] in ANSWERS:
            found = json.loads(data)
            if (isinstance(found, list) != (shape in LISTS)) or not all(fits(each, ANSWERS[shape[1]]) for each in (found if shape in LISTS else [found])):
                self.faults.append((shape, found))
        return status, extra, data

    def _route(self, method, rest, numbers, wanted, given):
        if rest == "":
            return reply(200, {"id": 5, "path_with_namespace": "acme/widget", "default_branch": "main", "web_url": f"{self.url}/acme/widget",
                               "permissions": {"project_access": {"access_level": 30}, "group_access": None}})
        if rest == "/merge_requests":
            return self._open(given) if method == "POST" else reply(200, [self._shown(each) for each in self.changes if each["state"] == wanted["state"]
                                                                          and each["source_branch"] == wanted["source_branch"]])
        if rest.startswith("/merge_requests/"):
            change = self.changes[numbers[0] - 1]
            if rest.endswith("/pipelines"):
                return reply(200, self.pipelines.get(self._shown(change)["sha"], []))
            if rest.endswith("/notes"):
                if method == "POST":
                    self.say(numbers[0], "swarm", given["body"])
                    return reply(201, self.notes[numbers[0]][-1])
                return reply(200, self.notes.get(numbers[0], []))
            if method == "PUT":
                change |= given
                change["draft"] = change["title"].startswith("Draft: ")
            return reply(200, self._shown(change))
        if rest.startswith("/pipelines/"):
            return reply(200, self.jobs[numbers[0]])
        if rest.startswith("/jobs/"):
            return 200, {"Content-Type": "text/plain"}, self.traces[numbers[0]].encode()
        level = self.levels.get(numbers[0], 0)
        return reply(200, {"id": numbers[0], "username": "x", "access_level": level}) if level else reply(404, {"message": "404 Not found"})

    def _open(self, given):
        if any(each["state"] == "opened" and each["source_branch"] == given["source_branch"] for each in self.changes):
            return reply(409, {"message": ["Another open merge request already exists for this source branch: !1"]})
        number = len(self.changes) + 1
        self.changes.append({"id": self.new_id(), "iid": number, "state": "opened", "source_project_id": 5, "target_project_id": 5,
                             "web_url": f"{self.url}/acme/widget/-/merge_requests/{number}", "draft": given["title"].startswith("Draft: "), **given})
        return reply(201, self._shown(self.changes[-1]))

    def _shown(self, change):
        return {**deepcopy(change), "sha": head_of(self.repository("acme/widget"), change["source_branch"])}


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
    assert (double.changes[0]["title"], double.changes[0]["description"], double.changes[0]["draft"]) == ("T2", "B2", False)


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
    assert [(r.author, r.text, r.path, r.line) for r in state.remarks] == [("ann", "Rename it.", "a.py", 3)]
    double.changes[0]["state"] = "merged"
    assert forge.check_state(1).state == "merged"


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
