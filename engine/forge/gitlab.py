"""GitLab, on gitlab.com or an own server, by python-gitlab (the extra `gitlab`)."""
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gitlab
from gitlab.exceptions import GitlabError

from engine.errors import Permanent, TokenRefused
from engine.forge import logs, wire
from engine.forge.base import MARK, Failed, PullRequest, Remark, State, clean, named, page, whole
from engine.forge.own_text import is_marked, marked, updated
from engine.forge.words import words
from engine.text import one_line

PAGE = 100
MOST = 1000           # notes, jobs, statuses and pipelines that are looked at
MOST_FAILED = 10      # jobs whose logs are read
DRAFT = "Draft: "
_DRAFT = re.compile(r"\s*(?:draft:|\[draft\]|\(draft\))\s*", re.I)  # as GitLab reads it
DEVELOPER = 30        # the least access level that may push
_DONE = ("success", "failed", "canceled", "skipped", "manual")
_BOT = re.compile(r"(project|group)_\d+_bot(_[0-9a-f]+)?|service_account_.*|.*[-_]bot|support-bot|alert-bot", re.I)


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
                    {"source_branch": branch, "target_branch": base, "title": DRAFT + title, "description": marked(title, body)}))
        except Refused as error:
            if "already exists" in error.sentence.lower() and (found := self.find_open_change(branch)):
                return found
            raise

    def finish_draft(self, number: int, title: str, body: str, ready: bool = True) -> None:
        """A draft is one by the beginning of its title."""
        with _speaking():
            found = self._repository().mergerequests.get(number)
            if found.state != "opened":
                return
            draft = _DRAFT.match(found.title)
            kept = found.title[draft.end():] if draft else found.title
            new_title, new_body = updated(kept, found.description, title, body)
            wanted = ("" if draft is None or ready else draft[0]) + (new_title or kept)
            new = {**({"title": wanted} if wanted != found.title else {}), **({"description": new_body} if new_body is not None else {})}
            if new:
                self._repository().mergerequests.update(number, new)

    def move_base(self, number: int, old: str, new: str) -> None:
        with _speaking():
            found = self._repository().mergerequests.get(number)
            if found.state == "opened" and found.target_branch == old:
                self._repository().mergerequests.update(number, {"target_branch": new})

    def comment(self, number: int, text: str) -> None:
        with _speaking():
            self._repository().mergerequests.get(number, lazy=True).notes.create({"body": f"{text}\n\n{MARK}"})

    def check_state(self, number: int) -> State:
        with _speaking():
            found = self._repository().mergerequests.get(number)
            head = str(found.sha)
            if found.state in ("merged", "closed"):  # 'locked' is open: it is being merged
                return State(found.state, head)
            pending, failed = self._checks(found, head)
            return State("open", head, pending, failed, self._remarks(found))

    def may_write(self, remark: Remark) -> bool | None:
        """By the membership, inherited and by invited groups too. 404: none that our token can see, and there is no other source."""
        try:
            with _speaking():
                return int(self._repository().members_all.get(remark.user).access_level) >= DEVELOPER
        except Permanent as error:
            if isinstance(error, TokenRefused):
                raise
            return False if isinstance(error.__cause__, GitlabError) and error.__cause__.response_code == 404 else None

    def _checks(self, found: Any, head: str) -> tuple[bool, list[Failed]]:
        """Of the newest pipeline of this commit: of one that still runs, what has failed already."""
        pipelines = [each for each in _some(found.pipelines.list(per_page=PAGE, iterator=True)) if each.sha == head]
        if not pipelines:
            return False, []
        newest = max(pipelines, key=lambda each: whole(each.id))
        if newest.status in ("success", "skipped"):
            return False, []
        failed = self._failed(newest, head)
        return newest.status not in _DONE, failed or ([Failed("pipeline", "")] if newest.status == "failed" else [])

    def _failed(self, newest: Any, head: str) -> list[Failed]:
        """Its failed jobs with the ends of their logs; without one, the failed statuses that other programs gave the commit there."""
        pipeline = self._repository().pipelines.get(newest.id, lazy=True)
        jobs = [each for each in _some(pipeline.jobs.list(scope=["failed"], per_page=PAGE, iterator=True)) if not each.allow_failure]
        if jobs:
            return [Failed(clean(job.name, 200), self._log(job)) for job in jobs[:MOST_FAILED]]
        statuses = _some(self._repository().commits.get(head, lazy=True).statuses.list(pipeline_id=newest.id, per_page=PAGE, iterator=True))
        return [Failed(clean(each.name, 200), clean(each.description, 1000)) for each in statuses
                if each.status == "failed" and not each.allow_failure and each.attributes.get("pipeline_id", newest.id) == newest.id][:MOST_FAILED]

    def _log(self, job: Any) -> str:
        try:
            trace = self._repository().jobs.get(whole(job.id), lazy=True).trace()
        except (GitlabError, Permanent) as error:
            if isinstance(error, TokenRefused):
                raise
            return "(The token may not read the log.)"
        return clean(trace, logs.TAIL) if isinstance(trace, bytes) else ""

    def _remarks(self, found: Any) -> list[Remark]:
        """Oldest first; read from the newest one on, because GitLab notes everything that happens as a note of the system."""
        remarks = []
        for note in _some(found.notes.list(per_page=PAGE, sort="desc", order_by="created_at", iterator=True)):
            author, body = note.author or {}, note.body
            name = str(author.get("username", ""))
            if note.system or not isinstance(body, str) or not body.strip() or MARK in body or name == "ghost":
                continue
            place = note.attributes.get("position") or {}
            line = place.get("new_line")
            remarks.append(Remark(f"note-{whole(note.id)}", one_line(clean(name, 100)), clean(body), one_line(clean(place.get("new_path"), 300)),
                                  line if isinstance(line, int) else None, whole(author.get("id")), bool(author.get("bot") or _BOT.fullmatch(name))))
        return remarks[::-1]

    def _change(self, found: Any) -> PullRequest:
        return PullRequest(whole(found.iid), page(found.web_url, (self.web,)), bool(found.draft), is_marked(found.description))


class Refused(Permanent):
    """400, 409 or 422: what was asked cannot be done; the sentence says why."""


def _some(found: Any) -> list[Any]:
    return [each for each, _ in zip(found, range(MOST), strict=False)]


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
