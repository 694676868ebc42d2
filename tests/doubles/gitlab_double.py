"""GitLab as far as it is used: merge requests over a bare repository. GitLab's own OpenAPI description (doc/api/openapi/openapi_v3.yaml, CC BY-SA 4.0) is
not kept here, and could be no judge as it is: it says "one merge request" where a list is answered, text where an access level is a number, JSON where
a log is text, and no property of an answer is required. So requests and answers are held against tables of what is documented, in our own words;
what does not fit is kept in `faults`, which a test must find empty."""
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from forge_http import Server, head_of, query, reply

API = "/api/v4/projects/acme/widget"
# (method, path) -> the parameters that GitLab documents for it, as far as we send any
DOCUMENTED = {
    ("GET", ""): {"license", "statistics", "with_custom_attributes"},
    ("GET", "/merge_requests"): {"state", "source_branch", "target_branch", "page", "per_page", "order_by", "sort", "pagination"},
    ("POST", "/merge_requests"): {"source_branch", "target_branch", "title", "description", "remove_source_branch", "squash", "labels"},
    ("GET", "/merge_requests/N"): {"render_html"}, ("PUT", "/merge_requests/N"): {"title", "description", "state_event", "target_branch"},
    ("GET", "/merge_requests/N/pipelines"): {"page", "per_page"}, ("GET", "/merge_requests/N/notes"): {"sort", "order_by", "page", "per_page"},
    ("GET", "/repository/commits/SHA/statuses"): {"ref", "stage", "name", "pipeline_id", "order_by", "sort", "all", "page", "per_page"},
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
    "/repository/commits/SHA/statuses": {"id": int, "name": str, "status": STATUSES, "allow_failure": bool, "sha": str},
    "/pipelines/N/jobs": {"id": int, "name": str, "status": STATUSES, "allow_failure": bool},
    "/members/all/N": {"id": int, "username": str, "access_level": int}}
LISTS = {("GET", "/merge_requests"), ("GET", "/merge_requests/N/notes"), ("GET", "/merge_requests/N/pipelines"), ("GET", "/pipelines/N/jobs"),
         ("GET", "/repository/commits/SHA/statuses")}


def fits(value: Any, wanted: Any) -> bool:
    """Whether an answer has all of these properties, each of its type."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(name in value and fits(value[name], kind) for name, kind in wanted.items())
    return value in wanted if isinstance(wanted, tuple) else type(value) is wanted


class GitLabDouble(Server):
    """One project, acme/widget. People and pipelines are played by the test."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.changes: list[dict[str, Any]] = []
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.pipelines: dict[str, list[dict[str, Any]]] = {}
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        self.statuses: dict[str, list[dict[str, Any]]] = {}   # sha -> of other programs
        self.traces: dict[int, str] = {}
        self.levels: dict[int, int] = {}
        self.faults: list[Any] = []
        self._ids = 100

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def say(self, number: int, name: str, text: str, level: int = 30, **more: Any) -> dict[str, Any]:
        author = {"id": self.new_id(), "username": name, "name": name, "state": "active"}
        self.levels[author["id"]] = level
        self.notes.setdefault(number, []).append({"id": self.new_id(), "body": text, "author": author, "system": False, "noteable_iid": number, **more})
        return self.notes[number][-1]

    def edit(self, note: dict[str, Any], text: str) -> None:
        note |= {"body": text, "updated_at": "2026-01-03T00:00:00.000Z"}

    def fail(self, sha: str, job: str, log: str, status: str = "failed") -> None:
        """A pipeline with a failed job. status: of the pipeline, which may still run."""
        pipeline, number = self.new_id(), self.new_id()
        self.pipelines.setdefault(sha, []).append({"id": pipeline, "sha": sha, "status": status, "ref": "x", "source": "push"})
        self.jobs[pipeline] = [{"id": number, "name": job, "status": "failed", "allow_failure": False},
                               {"id": self.new_id(), "name": "optional", "status": "failed", "allow_failure": True}]
        self.traces[number] = log

    def move(self, number: int, state: str) -> None:
        """By hand. state: opened, closed, locked, merged."""
        self.changes[number - 1]["state"] = state

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if headers.get("Private-Token", headers.get("PRIVATE-TOKEN")) != self.token:
            return reply(401, {"message": "401 Unauthorized"})
        place = unquote(urlsplit(path).path)
        if not place.startswith(API):
            return reply(404, {"message": "404 Project Not Found"})
        rest, given = place.removeprefix(API), json.loads(body) if body else {}
        shape = (method, re.sub(r"/\d+(?=/|$)", "/N", re.sub(r"/[0-9a-f]{40}(?=/|$)", "/SHA", rest)))
        sent = set(query(path)) | set(given)
        if shape not in DOCUMENTED or sent - DOCUMENTED[shape] or REQUIRED.get(shape, set()) - sent:
            self.faults.append((shape, sorted(sent)))
        with self.lock:
            status, extra, data = self._route(method, rest, [int(n) for n in re.findall(r"/(\d+)(?=/|$)", rest)], query(path), given)
        if status < 300 and shape[1] in ANSWERS:
            found = json.loads(data)
            if (isinstance(found, list) != (shape in LISTS)) or not all(fits(each, ANSWERS[shape[1]]) for each in (found if shape in LISTS else [found])):
                self.faults.append((shape, found))
        return status, extra, data

    def _route(self, method: str, rest: str, numbers: list[int], wanted: dict[str, str], given: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if rest == "":
            return reply(200, {"id": 5, "path_with_namespace": "acme/widget", "default_branch": "main", "web_url": f"{self.url}/acme/widget",
                               "permissions": {"project_access": {"access_level": 30}, "group_access": None}})
        if rest == "/merge_requests":
            return self._open(given) if method == "POST" else reply(200, [self._shown(each) for each in self.changes if each["state"] == wanted["state"]
                                                                          and each["source_branch"] == wanted["source_branch"]])
        if rest.startswith("/merge_requests/"):
            change = self.changes[numbers[0] - 1]
            if rest.endswith("/pipelines"):
                return self._page(rest, wanted, self.pipelines.get(self._shown(change)["sha"], [])[::-1])
            if rest.endswith("/notes"):
                if method == "POST":
                    self.say(numbers[0], "swarm", given["body"])
                    return reply(201, self.notes[numbers[0]][-1])
                return self._page(rest, wanted, self.notes.get(numbers[0], [])[::1 if wanted.get("sort") == "asc" else -1])
            if method == "PUT":
                change |= given
                change["draft"] = change["title"].startswith("Draft: ")
            return reply(200, self._shown(change))
        if rest.startswith("/pipelines/"):
            return self._page(rest, wanted, [job for job in self.jobs[numbers[0]] if job["status"] == wanted.get("scope[]", job["status"])])
        if rest.startswith("/repository/commits/"):
            found = [each for each in self.statuses.get(rest.split("/")[3], []) if str(each["pipeline_id"]) == wanted.get("pipeline_id")]
            return self._page(rest, wanted, found)
        if rest.startswith("/jobs/"):
            return 200, {"Content-Type": "text/plain"}, self.traces[numbers[0]].encode()
        level = self.levels.get(numbers[0], 0)
        return reply(200, {"id": numbers[0], "username": "x", "access_level": level}) if level else reply(404, {"message": "404 Not found"})

    def _page(self, rest: str, wanted: dict[str, str], found: list[Any]) -> tuple[int, dict[str, str], bytes]:
        """One page of a list, 20 a page unless per_page says more, with a link to the next."""
        size, number = min(int(wanted.get("per_page", 20)), 100), int(wanted.get("page", 1))
        more = number * size < len(found)
        link = f"{self.url}{API}{rest}?{urlencode({**wanted, 'page': number + 1})}".replace("acme/widget", "acme%2Fwidget")
        return reply(200, found[(number - 1) * size:number * size], **({"Link": f'<{link}>; rel="next"'} if more else {}))

    def _open(self, given: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if any(each["state"] == "opened" and each["source_branch"] == given["source_branch"] for each in self.changes):
            return reply(409, {"message": ["Another open merge request already exists for this source branch: !1"]})
        number = len(self.changes) + 1
        self.changes.append({"id": self.new_id(), "iid": number, "state": "opened", "source_project_id": 5, "target_project_id": 5,
                             "web_url": f"{self.url}/acme/widget/-/merge_requests/{number}", "draft": given["title"].startswith("Draft: "), **given})
        return reply(201, self._shown(self.changes[-1]))

    def _shown(self, change: dict[str, Any]) -> dict[str, Any]:
        return {**deepcopy(change), "sha": head_of(self.repository("acme/widget"), change["source_branch"]) or "0" * 40}
