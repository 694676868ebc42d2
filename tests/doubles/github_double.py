"""GitHub as far as it is used: pull requests over bare repositories. Each request and each answer is held against GitHub's own OpenAPI
description (tests/data/github_openapi); what does not fit is kept in `faults`, which a test must find empty."""
import json
import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from forge_http import Server, head_of, query, reply
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

DESCRIPTION = Path(__file__).parent.parent / "data" / "github_openapi" / "openapi.json"
API = "/api/v3"


@cache
def description() -> dict[str, Any]:
    """As it is, but for one thing: an enumeration that is marked as nullable lists null, as OpenAPI 3.0.3 wants it and GitHub means it."""
    def mended(part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "enum": [*part["enum"], None]} if part.get("nullable") and isinstance(part.get("enum"), list) else part
    return json.loads(DESCRIPTION.read_text(), object_hook=mended)


@cache
def judge() -> OpenAPI:
    return OpenAPI.from_dict(description())


def example(schema: dict[str, Any]) -> Any:
    """The smallest value that fits: what is required, and of that the plainest."""
    if "$ref" in schema:
        return example(description()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if schema.get("nullable"):
        return None
    for name in ("oneOf", "anyOf"):
        if name in schema:
            return example(schema[name][0])
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            merged |= example(part) or {}
        return merged
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: example(schema.get("properties", {}).get(name, {"type": "string"})) for name in schema.get("required", [])}
    plain = {"array": [], "integer": 1, "number": 1, "boolean": False,
             "string": {"date-time": "2026-01-01T00:00:00Z", "uri": "https://localhost/x"}.get(schema.get("format", ""), "x")}
    return plain[kind]


def made(schema: str, /, **values: Any) -> Any:
    """An example of this schema with these values laid over it, however deep."""
    return laid(deepcopy(example({**description()["components"]["schemas"][schema], "nullable": False})), values)


def laid(base: Any, values: dict[str, Any]) -> Any:
    for name, value in values.items():
        base[name] = laid(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
    return base


class GitHubDouble(Server):
    """One project, owner/repo. People and CI are played by the test: it writes into pulls, comments, checks."""

    def __init__(self, root: Path, project: str = "acme/widget", **options: Any) -> None:
        super().__init__(root, **options)
        self.project = project
        self.pulls: list[dict[str, Any]] = []
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.reviews: dict[int, list[dict[str, Any]]] = {}
        self.line_comments: dict[int, list[dict[str, Any]]] = {}
        self.checks: dict[str, list[dict[str, Any]]] = {}       # sha -> check runs
        self.statuses: dict[str, list[dict[str, Any]]] = {}     # sha -> statuses, the newest of each context
        self.permissions: dict[str, str] = {}                   # login -> what the permission endpoint says
        self.logs: dict[int, str] = {}                          # job -> the address of its log
        self.faults: list[str] = []
        self.drafts = True
        self._ids = 100

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def user(self, login: str, kind: str = "User") -> dict[str, Any]:
        return made("simple-user", login=login, type=kind, id=self.new_id())

    def say(self, number: int, login: str, text: str, kind: str = "User", association: str = "MEMBER", permission: str | None = None) -> dict[str, Any]:
        """permission: by default one that may write, for those whom the association names; "read" for the others, as on a public repository."""
        self.comments.setdefault(number, []).append(
            made("issue-comment", id=self.new_id(), body=text, user=self.user(login, kind), author_association=association))
        self._permit(login, association, permission)
        return self.comments[number][-1]

    def say_on_line(self, number: int, login: str, text: str, path: str, line: int, association: str = "MEMBER",
                    permission: str | None = None) -> dict[str, Any]:
        self.line_comments.setdefault(number, []).append(made("pull-request-review-comment", id=self.new_id(), body=text, path=path, line=line,
                                                             user=self.user(login), author_association=association))
        self._permit(login, association, permission)
        return self.line_comments[number][-1]

    def review(self, number: int, login: str, text: str, association: str = "MEMBER", permission: str | None = None) -> dict[str, Any]:
        self.reviews.setdefault(number, []).append(made("pull-request-review", id=self.new_id(), body=text, user=self.user(login), state="COMMENTED",
                                                       author_association=association))
        self._permit(login, association, permission)
        return self.reviews[number][-1]

    def _permit(self, login: str, association: str, permission: str | None) -> None:
        self.permissions[login] = permission or ("write" if association in ("OWNER", "MEMBER", "COLLABORATOR") else "read")

    def edit(self, remark: dict[str, Any], text: str) -> None:
        remark |= {"body": text, **({"updated_at": "2026-01-03T00:00:00Z"} if "updated_at" in remark else {})}

    def status(self, sha: str, context: str, state: str, description: str = "") -> None:
        """The newest status of this context."""
        kept = [each for each in self.statuses.get(sha, []) if each["context"] != context]
        self.statuses[sha] = [*kept, made("simple-commit-status", id=self.new_id(), context=context, state=state, description=description)]

    def check(self, sha: str, name: str, conclusion: str | None, log: str = "") -> None:
        number = self.new_id()
        run = made("check-run", id=number, name=name, head_sha=sha, status="completed" if conclusion else "in_progress", conclusion=conclusion,
                   check_suite={"id": 9}, completed_at="2026-01-01T00:00:00Z" if conclusion else None,
                   output={"title": name, "summary": "It ended.", "text": None})
        run["app"] = made("nullable-integration", slug="github-actions", id=15368) if log else None
        self.logs[number] = log
        self.checks.setdefault(sha, []).append(run)

    def merge(self, number: int) -> None:
        self.pulls[number - 1] |= {"state": "closed", "merged": True, "merged_at": "2026-01-02T00:00:00Z", "closed_at": "2026-01-02T00:00:00Z"}

    def close(self, number: int) -> None:
        self.pulls[number - 1] |= {"state": "closed", "closed_at": "2026-01-02T00:00:00Z"}

    def reopen(self, number: int) -> None:
        self.pulls[number - 1] |= {"state": "open", "closed_at": None}

    # As HTTP

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if headers.get("Authorization") not in (f"Bearer {self.token}", f"token {self.token}"):
            return reply(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"})
        if path == "/api/graphql":
            return self._graphql(json.loads(body))
        if not path.startswith(API):
            return reply(404, {"message": "Not Found"})
        inner = path.removeprefix(API)
        request = MockRequest("https://api.github.com", method.lower(), urlsplit(inner).path, args=query(inner), headers=headers, data=body or None,
                              content_type=headers.get("Content-Type", "application/json"))
        self._hold(f"{method} {inner}", lambda: judge().validate_request(request))
        with self.lock:
            status, extra, data = self._route(method, inner, body)
        response = MockResponse(data, status, extra, content_type="application/json")
        self._hold(f"{status} for {method} {inner}", lambda: judge().validate_response(request, response))
        return status, extra, data

    def _hold(self, what: str, validate: Any) -> None:
        try:
            validate()
        except Exception as error:  # kept for the test, which looks at faults
            causes = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
            self.faults.append(f"{what}: {error} {[str(cause)[:200] for cause in causes][:3]}")

    def _route(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        base, given = f"/repos/{self.project}", json.loads(body) if body else {}
        place = urlsplit(path).path
        if not place.startswith(base):
            return reply(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
        rest = place.removeprefix(base)
        if rest == "":
            return reply(200, made("full-repository", name=self.project.partition("/")[2], full_name=self.project, default_branch="main",
                                   permissions={"admin": False, "push": True, "pull": True}))
        if rest == "/pulls":
            return self._open(given) if method == "POST" else self._list(query(path))
        if found := re.fullmatch(r"/pulls/(\d+)(/comments|/reviews)?", rest):
            number = int(found[1])
            if not 0 < number <= len(self.pulls):
                return reply(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
            if found[2]:
                return self._page(path, (self.line_comments if found[2] == "/comments" else self.reviews).get(number, []))
            if method == "PATCH":
                base = {"base": self.pulls[number - 1]["base"] | {"ref": given["base"]}} if "base" in given else {}
                self.pulls[number - 1] |= {**given, **base}
            return reply(200, self._shown(self.pulls[number - 1]))
        if found := re.fullmatch(r"/issues/(\d+)/comments", rest):
            number = int(found[1])
            if method == "POST":
                self.say(number, "swarm", given["body"])
                return reply(201, self.comments[number][-1])
            return self._page(path, self.comments.get(number, []))
        if found := re.fullmatch(r"/collaborators/([^/]+)/permission", rest):
            return self._permission(unquote(found[1]))
        return self._commit(rest, path)

    def _permission(self, login: str) -> tuple[int, dict[str, str], bytes]:
        level = self.permissions.get(login)
        if level is None:
            return reply(404, {"message": f"{login} is not a user", "documentation_url": "https://docs.github.com/rest"})
        return reply(200, made("repository-collaborator-permission", permission=level, role_name=level, user=made("nullable-collaborator", login=login)))

    def _page(self, path: str, found: list[Any], around: Callable[[list[Any]], Any] = list) -> tuple[int, dict[str, str], bytes]:
        """One page of a list, 30 a page unless per_page says more, with links to the others. around: makes the answer of the page."""
        wanted = query(path)
        size, number = min(int(wanted.get("per_page", 30)), 100), int(wanted.get("page", 1))
        last = max(1, -(-len(found) // size))
        link = f"<{self.url}{API}{urlsplit(path).path}?per_page={size}&page="
        links = ([f'{link}{number + 1}>; rel="next"', f'{link}{last}>; rel="last"'] if number < last else []) + (
            [f'{link}{number - 1}>; rel="prev"', f'{link}1>; rel="first"'] if number > 1 else [])
        return reply(200, around(found[(number - 1) * size:number * size]), **({"Link": ", ".join(links)} if links else {}))

    def _commit(self, rest: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if found := re.fullmatch(r"/commits/([0-9a-f]{40})(/check-runs|/status)?", rest):
            runs = self.checks.get(found[1], [])
            if found[2] == "/check-runs":
                return self._page(path, runs, lambda page: {"total_count": len(runs), "check_runs": page})
            if found[2] == "/status":
                statuses = self.statuses.get(found[1], [])
                return self._page(path, statuses, lambda page: made("combined-commit-status", sha=found[1], state="pending", statuses=page,
                                                                    total_count=len(statuses)))
            return reply(200, made("commit", sha=found[1]))
        if found := re.fullmatch(r"/actions/jobs/(\d+)/logs", rest):
            return 302, {"Location": self.logs[int(found[1])]}, b""
        return reply(404, {"message": "Not Found"})

    def _open(self, given: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        def refused(message: str) -> tuple[int, dict[str, str], bytes]:
            return reply(422, {"message": "Validation Failed", "errors": [{"resource": "PullRequest", "code": "custom", "message": message}],
                               "documentation_url": "https://docs.github.com/rest"})
        if head_of(self.repository(self.project), given["head"]) is None:
            return refused("head is invalid")
        if any(pull["state"] == "open" and pull["head"]["ref"] == given["head"] for pull in self.pulls):
            return refused(f"A pull request already exists for acme:{given['head']}.")
        if given.get("draft") and not self.drafts:
            return refused("Draft pull requests are not supported in this repository.")
        number = len(self.pulls) + 1
        here = made("pull-request")["head"]
        here["repo"] = made("repository", full_name=self.project)
        pull = made("pull-request", number=number, id=self.new_id(), title=given["title"], body=given.get("body"), draft=given.get("draft", False),
                    state="open", html_url=f"{self.url}/{self.project}/pull/{number}",
                    url=f"{self.url}{API}/repos/{self.project}/pulls/{number}", node_id=f"PR_{number}",
                    comments_url=f"{self.url}{API}/repos/{self.project}/issues/{number}/comments", user=self.user("swarm"), merged=False,
                    issue_url=f"{self.url}{API}/repos/{self.project}/issues/{number}")
        pull["head"] = deepcopy(here) | {"ref": given["head"]}
        pull["base"] = deepcopy(here) | {"ref": given["base"]}
        self.pulls.append(pull)
        return reply(201, self._shown(pull))

    def _list(self, wanted: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        branch = wanted.get("head", ":").partition(":")[2]
        found = [pull for pull in self.pulls if pull["state"] == wanted.get("state", "open") and (not branch or pull["head"]["ref"] == branch)]
        simple = set(description()["components"]["schemas"]["pull-request-simple"]["properties"])
        return reply(200, [laid(made("pull-request-simple"), {name: value for name, value in self._shown(pull).items() if name in simple}) for pull in found])

    def _shown(self, pull: dict[str, Any]) -> dict[str, Any]:
        sha = head_of(self.repository(self.project), pull["head"]["ref"])
        return {**pull, "head": {**pull["head"], "sha": sha or "0" * 40}}

    def _graphql(self, given: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """The one mutation that REST does not have."""
        number = int(given["variables"]["input"]["pullRequestId"].removeprefix("PR_"))
        self.pulls[number - 1]["draft"] = False
        return reply(200, {"data": {"markPullRequestReadyForReview": {"clientMutationId": None, "pullRequest": {"isDraft": False}}}})
