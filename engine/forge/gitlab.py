"""GitLab, on gitlab.com or an own server, by python-gitlab (the extra `gitlab`)."""
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gitlab
from gitlab.exceptions import GitlabError

from engine.errors import Permanent
from engine.forge import logs, wire
from engine.forge.base import MARK, Failed, PullRequest, Remark, State, clean, named, page, whole
from engine.forge.words import words

MOST = 200
DRAFT = "Draft: "
DEVELOPER = 30        # the least access level that may push
_DONE = ("success", "failed", "canceled", "skipped", "manual")
_BOT = re.compile(r"(project|group)_\d+_bot(_[0-9a-f]+)?|service_account_.*|ghost|.*[-_]bot|support-bot|alert-bot", re.I)


class GitLab:
    name = "gitlab"

    def __init__(self, web: str, token: str, project: str) -> None:
        """web: https://gitlab.com or the address of a server; project: group/…/name."""
        self.web, self.project = web, project
        self._client = gitlab.Gitlab(web, private_token=token, timeout=wire.SECONDS, session=wire.session(web), retry_transient_errors=False,
                                     user_agent="hitl-swarm", keep_base_url=True)

    def _repository(self) -> Any:
        return self._client.projects.get(self.project, lazy=True)

    def default_branch(self) -> str:
        with _speaking():
            return named(self._client.projects.get(self.project).default_branch)

    def find_open_change(self, branch: str) -> PullRequest | None:
        with _speaking():
            for found in self._repository().mergerequests.list(state="opened", source_branch=branch, per_page=20, get_all=False):
                if found.source_branch == branch and found.source_project_id == found.target_project_id:
                    return self._change(found)
        return None

    def open_change(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        try:
            with _speaking():
                return self._change(self._repository().mergerequests.create(
                    {"source_branch": branch, "target_branch": base, "title": DRAFT + title, "description": body}))
        except Refused as error:
            if "already exists" in error.sentence.lower() and (found := self.find_open_change(branch)):
                return found
            raise

    def finish_draft(self, number: int, title: str, body: str) -> None:
        with _speaking():
            found = self._repository().mergerequests.get(number)
            if found.state == "opened" and (found.title != title or found.description != body):
                self._repository().mergerequests.update(number, {"title": title, "description": body})

    def comment(self, number: int, text: str) -> None:
        with _speaking():
            self._repository().mergerequests.get(number, lazy=True).notes.create({"body": f"{text}\n\n{MARK}"})

    def check_state(self, number: int) -> State:
        with _speaking():
            found = self._repository().mergerequests.get(number)
            head = str(found.sha)
            if found.state != "opened":
                return State("merged" if found.state == "merged" else "closed", head)
            pending, failed = self._checks(found, head)
            return State("open", head, pending, failed, list(self._remarks(found)))

    def _checks(self, found: Any, head: str) -> tuple[bool, list[Failed]]:
        """Of the newest pipeline of this commit."""
        pipelines = [each for each in found.pipelines.list(per_page=20, get_all=False) if each.sha == head]
        if not pipelines:
            return False, []
        newest = max(pipelines, key=lambda each: whole(each.id))
        if newest.status != "failed":
            return newest.status not in _DONE, []
        pipeline = self._repository().pipelines.get(newest.id, lazy=True)
        jobs = [each for each in pipeline.jobs.list(scope=["failed"], per_page=20, get_all=False) if not each.allow_failure]
        return False, [Failed(clean(job.name, 200), self._log(job)) for job in jobs] or [Failed("pipeline", "")]

    def _log(self, job: Any) -> str:
        try:
            trace = self._repository().jobs.get(whole(job.id), lazy=True).trace()
        except GitlabError:
            return "(The token may not read the log.)"
        return clean(trace, logs.TAIL) if isinstance(trace, bytes) else ""

    def _remarks(self, found: Any) -> Iterator[Remark]:
        """Of members who may push; notes of the system and of bots are left out."""
        members: dict[int, bool] = {}
        for note in found.notes.list(per_page=100, get_all=False, sort="asc"):
            author = note.author or {}
            body, name, number = note.body, str(author.get("username", "")), whole(author.get("id"))
            if note.system or not isinstance(body, str) or not body.strip() or MARK in body or author.get("bot") or _BOT.fullmatch(name):
                continue
            if number not in members:
                members[number] = self._is_member(number)
            if members[number]:
                place = note.attributes.get("position") or {}
                line = place.get("new_line")
                yield Remark(f"note-{whole(note.id)}", clean(name, 100), clean(body), clean(place.get("new_path"), 300),
                             line if isinstance(line, int) else None)

    def _is_member(self, number: int) -> bool:
        try:
            return int(self._repository().members_all.get(number).access_level) >= DEVELOPER
        except GitlabError:
            return False

    def _change(self, found: Any) -> PullRequest:
        return PullRequest(whole(found.iid), page(found.web_url, (self.web,)), bool(found.draft))


class Refused(Permanent):
    """400, 409 or 422: what was asked cannot be done; the sentence says why."""


@contextmanager
def _speaking() -> Iterator[None]:
    """What python-gitlab raises, in our words."""
    try:
        yield
    except GitlabError as error:
        said = words({"message": error.error_message}) or "no reason was given"
        if error.response_code == 404:
            raise Permanent("GitLab does not know this project or merge request, or the token may not see it (404).") from error
        if error.response_code in (400, 409, 422):
            raise Refused(f"GitLab rejected this: {said}") from error
        raise Permanent(f"GitLab refused ({error.response_code}): {said}") from error
    except (RuntimeError, AssertionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Permanent(f"GitLab's answer is not understood ({type(error).__name__}).") from error
