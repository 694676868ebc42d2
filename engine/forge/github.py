"""GitHub, on github.com or Enterprise Server, by PyGithub (the extra `github`)."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from github import Auth, BadAttributeException, Github, GithubException
from github.CommitStatus import CommitStatus
from github.GithubObject import NotSet
from github.PullRequest import PullRequest as TheirPullRequest
from github.Repository import Repository as Project
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

from engine.errors import Permanent, TokenRefused
from engine.forge import logs, wire
from engine.forge.base import MARK, Failed, PullRequest, Remark, State, clean, named, origin_of, page, whole
from engine.forge.github_remarks import PAGE, remarks_of
from engine.forge.own_text import is_marked, marked, updated
from engine.forge.words import words

MOST = 1000                  # checks and statuses of a commit that are looked at
MOST_FAILED = 10             # checks whose logs are read
WRITERS = ("admin", "maintain", "write")
BAD = ("failure", "timed_out", "startup_failure")
GITHUB_ACTIONS = "github-actions"


class _Https(HTTPSRequestsConnectionClass):
    def __init__(self, host: str, port: int | None = None, *args: Any, **options: Any) -> None:
        super().__init__(host, port, *args, **options)
        wire.prepare(self.session, origin_of(f"https://{host}:{self.port}"))


class _Http(HTTPRequestsConnectionClass):
    def __init__(self, host: str, port: int | None = None, *args: Any, **options: Any) -> None:
        super().__init__(host, port, *args, **options)
        wire.prepare(self.session, origin_of(f"http://{host}:{self.port}"))


Requester.injectConnectionClasses(_Http, _Https)


class GitHub:
    name = "github"

    def __init__(self, web: str, token: str, project: str) -> None:
        """web: https://github.com or the address of an Enterprise Server; project: owner/repo."""
        api = "https://api.github.com" if web == "https://github.com" else f"{web}/api/v3"
        self.web, self.project = web, project
        self._client = Github(base_url=api, auth=Auth.Token(token), retry=None, timeout=int(wire.SECONDS), lazy=True, per_page=PAGE,
                              seconds_between_requests=None, seconds_between_writes=None, user_agent="hitl-swarm")

    def _repository(self) -> Project:
        return self._client.get_repo(self.project)

    def default_branch(self) -> str:
        with _speaking():
            return named(self._repository().default_branch)

    def find_open_change(self, branch: str) -> PullRequest | None:
        owner = self.project.partition("/")[0]
        with _speaking():
            for found in _some(self._repository().get_pulls(state="open", head=f"{owner}:{branch}"), 20):
                if found.head.ref == branch and found.head.repo is not None and found.head.repo.full_name.lower() == self.project.lower():
                    return self._change(found)
        return None

    def open_change(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        for draft in (True, False):
            try:
                with _speaking():
                    return self._change(self._repository().create_pull(base, branch, title=title, body=marked(title, body), draft=draft))
            except Unprocessable as error:
                said = error.sentence.lower()
                if "already exists" in said and (found := self.find_open_change(branch)):
                    return found
                if not draft or "draft" not in said:
                    raise
        raise Permanent("The pull request could not be opened.")

    def finish_draft(self, number: int, title: str, body: str, ready: bool = True) -> None:
        with _speaking():
            found = self._repository().get_pull(number)
            if found.state != "open":
                return
            new_title, new_body = updated(found.title, found.body, title, body)
            if new_title is not None or new_body is not None:
                found.edit(title=NotSet if new_title is None else new_title, body=NotSet if new_body is None else new_body)
            if ready and found.draft:
                found.mark_ready_for_review()

    def move_base(self, number: int, old: str, new: str) -> None:
        with _speaking():
            found = self._repository().get_pull(number)
            if found.state == "open" and found.base.ref == old:
                found.edit(base=new)

    def comment(self, number: int, text: str) -> None:
        with _speaking():
            self._repository().get_pull(number).create_issue_comment(f"{text}\n\n{MARK}")

    def check_state(self, number: int) -> State:
        with _speaking():
            found = self._repository().get_pull(number)
            head = str(found.head.sha)
            if found.merged or found.state == "closed":
                return State("merged" if found.merged else "closed", head)
            pending, failed = self._checks(head)
            return State("open", head, pending, failed, remarks_of(found, self._client.requester))

    def may_write(self, remark: Remark) -> bool | None:
        """By the permission endpoint: author_association says CONTRIBUTOR or NONE of a private member, and MEMBER of one who may only read."""
        try:
            with _speaking():
                return self._repository().get_collaborator_permission(remark.author) in WRITERS
        except Permanent as error:
            if isinstance(error, TokenRefused):
                raise
            return remark.member or None

    def _checks(self, head: str) -> tuple[bool, list[Failed]]:
        commit = self._repository().get_commit(head)
        runs = _some(commit.get_check_runs(), MOST)
        statuses = self._statuses(commit)
        pending = any(run.status != "completed" for run in runs) or any(status.state == "pending" for status in statuses)
        failed = [Failed(clean(run.name, 200), self._log(run)) for run in [run for run in runs if run.conclusion in BAD][:MOST_FAILED]]
        failed += [Failed(clean(status.context, 200), clean(status.description, 1000)) for status in statuses if status.state in ("failure", "error")]
        return pending, failed

    def _statuses(self, commit: Any) -> list[CommitStatus]:
        """The newest status of each context. The combined status has pages, of which PyGithub reads the first only."""
        found: list[CommitStatus] = []
        for number in range(1, MOST // PAGE + 1):
            _, answer = self._client.requester.requestJsonAndCheck("GET", f"{commit.url}/status", parameters={"per_page": PAGE, "page": number})
            found += [CommitStatus(self._client.requester, {}, each) for each in answer["statuses"]]
            if not answer["statuses"] or len(found) >= answer["total_count"]:
                break
        return found

    def _log(self, run: Any) -> str:
        """A job of GitHub Actions has a log, at an address that needs no token; any other check has what it says of itself."""
        said = clean("\n".join(part for part in (run.output.title, run.output.summary, run.output.text) if isinstance(part, str)), logs.TAIL)
        if run.app is None or run.app.slug != GITHUB_ACTIONS:
            return said
        try:
            headers, _ = self._client.requester.requestBlobAndCheck("GET", f"/repos/{self.project}/actions/jobs/{whole(run.id)}/logs")
        except (Permanent, GithubException) as error:
            if isinstance(error, TokenRefused):
                raise
            return said or "(The token may not read the log.)"
        return logs.tail(headers.get("location", ""), plain=self.web.startswith("http://")) or said

    def _change(self, found: TheirPullRequest) -> PullRequest:
        return PullRequest(whole(found.number), page(found.html_url, (self.web,)), bool(found.draft), is_marked(found.body))


class Unprocessable(Permanent):
    """422: what was asked cannot be done; the sentence says why."""


def _some(found: Any, most: int) -> list[Any]:
    return [each for each, _ in zip(found, range(most), strict=False)]


@contextmanager
def _speaking() -> Iterator[None]:
    """What PyGithub raises, in our words. Its own errors for answers of a wrong type are meant by the last line."""
    try:
        yield
    except GithubException as error:
        said = words(error.data) or "no reason was given"
        if error.status == 422:
            raise Unprocessable(f"GitHub rejected this: {said}") from error
        if error.status == 404:
            raise Permanent("GitHub does not know this repository or pull request, or the token may not see it (404).") from error
        raise Permanent(f"GitHub refused ({error.status}): {said}") from error
    except (BadAttributeException, RuntimeError, AssertionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Permanent(f"GitHub's answer is not understood ({type(error).__name__}).") from error
