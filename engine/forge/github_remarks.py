"""Comments on a pull request of GitHub: on its lines, as reviews, and on the whole. The newest pages are read first."""
import re
from collections.abc import Iterator
from typing import Any

from github.GithubObject import CompletableGithubObject
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest
from github.PullRequestComment import PullRequestComment
from github.PullRequestReview import PullRequestReview
from github.Requester import Requester

from engine.forge.base import MARK, Remark, clean, whole
from engine.text import one_line

PAGE = 100
MOST_PAGES = 10    # of each kind of comments
TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")
_LAST = re.compile(r'<[^>]*[?&]page=(\d{1,9})[^>]*>; rel="last"')


def remarks_of(found: PullRequest, requester: Requester) -> list[Remark]:
    """Oldest first."""
    remarks = []
    for comment in _newest(requester, f"{found.url}/comments", PullRequestComment, sort="created", direction="asc"):
        remarks += _remark("line", comment, comment.path, comment.line or None)
    for review in _newest(requester, f"{found.url}/reviews", PullRequestReview):
        remarks += _remark("review", review)
    for comment in _newest(requester, f"{found.issue_url}/comments", IssueComment):
        remarks += _remark("comment", comment)
    return remarks


def _newest(requester: Requester, url: str, kind: type, **parameters: str) -> Iterator[Any]:
    """The elements of a list that GitHub keeps oldest first, oldest first; of more than MOST_PAGES pages only the last ones, and the first."""
    headers, first = requester.requestJsonAndCheck("GET", url, parameters={**parameters, "per_page": PAGE})
    found = _LAST.search(str(headers.get("link", "")))
    last = int(found[1]) if found else 1
    pages = [first]
    for number in range(max(2, last - MOST_PAGES + 2), last + 1):
        pages.append(requester.requestJsonAndCheck("GET", url, parameters={**parameters, "per_page": PAGE, "page": number})[1])
    whole_answer = {"completed": True} if issubclass(kind, CompletableGithubObject) else {}  # or a property without a value would be asked for
    for page in pages:
        yield from (kind(requester, {}, each, **whole_answer) for each in page)


def _remark(kind: str, comment: Any, path: object = "", line: int | None = None) -> list[Remark]:
    """[the comment]; [] for our own, an empty one, or one of a user who was deleted."""
    user, body = comment.user, comment.body
    if user is None or not body or not body.strip() or MARK in body:
        return []
    bot = user.type != "User" or user.login.endswith("[bot]")
    return [Remark(f"{kind}-{whole(comment.id)}", one_line(clean(user.login, 100)), clean(body), one_line(clean(path, 300)), line, whole(user.id), bot,
                   comment.author_association in TRUSTED)]
