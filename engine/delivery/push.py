"""Puts a commit on a branch of a remote repository. Repeatable: a pushed commit is not pushed again, and no commit of others is lost.

It writes only branches below swarm/, with a lease on the value that it saw there. A token goes only into git's environment."""
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.errors import Permanent, RunFailure, TokenRefused, Transient
from engine.git.remote import login
from engine.git.repository import FETCH_SECONDS, Repository
from engine.text import one_line, printable

OURS = "swarm/"
LONGEST_WORDS = 300  # characters of a remote's message that are shown


@dataclass(frozen=True)
class Remote:
    """Where to push. token: for this URL, or empty. user: the user name that the forge expects with the token."""

    url: str
    protocols: tuple[str, ...]
    token: str = field(default="", repr=False)
    user: str = "x-access-token"

    @contextmanager
    def reached(self) -> Iterator[dict[str, str]]:
        """The environment in which git may talk to the remote.

        git runs the hooks of a local repository as our own user. So, unlike for a fetch, git's own rule stays in force
        that the folder must belong to that user."""
        yield {"GIT_ALLOW_PROTOCOL": ":".join(self.protocols), **login(self.url, self.token, self.user)}


def push(repository: Repository, remote: Remote, branch: str, tip: str, ours: str | None, only_new: bool = False) -> bool:
    """Sets refs/heads/<branch> at the remote to `tip`. ours: the commit that we pushed last. only_new: it is enough that the branch exists.
    -> True if something was pushed. Raises Permanent (TokenRefused) or Transient, with a sentence for people."""
    if not branch.startswith(OURS):
        raise Permanent(f"{branch} is not below {OURS}. HITL Swarm pushes to no other branches.")
    heads = branch_heads(repository, remote, branch)
    parts = branch.split("/")
    for name in ("/".join(parts[:length]) for length in range(1, len(parts))):
        if name in heads:
            raise Permanent(f"The remote repository has a branch named {name}, so git cannot create {branch} there. Rename or delete that branch.")
    there = heads.get(branch)
    if there == tip or (there and only_new):
        return False
    if there and there != ours and not (repository.head(there) and repository.is_ancestor(there, tip)):
        raise Permanent(f"The branch {branch} was moved by somebody else to {there[:12]}, which is not in this build. Nothing was overwritten. "
                        "Save what you need from it, delete the branch there or reset it, and try again.")
    try:
        with remote.reached() as env:
            repository.git("push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no",
                           f"--force-with-lease=refs/heads/{branch}:{there or ''}", "--", remote.url, f"{tip}:refs/heads/{branch}",
                           env=env, timeout=FETCH_SECONDS)
    except RunFailure as error:
        raise refusal(error, branch, remote) from error
    return True


def branch_heads(repository: Repository, remote: Remote, branch: str) -> dict[str, str]:
    """{branch: sha} at the remote, for this branch and for branches whose names are parts of its path."""
    parts = branch.split("/")
    wanted = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    try:
        with remote.reached() as env:
            out = repository.git("ls-remote", "--", remote.url, *(f"refs/heads/{name}" for name in wanted), env=env)
    except RunFailure as error:
        raise refusal(error, branch, remote) from error
    found = (line.split("\t", 1) for line in out.decode("utf-8", "surrogateescape").splitlines() if "\t" in line)
    heads = {name.removeprefix("refs/heads/"): sha for sha, name in found}
    return {name: sha for name, sha in heads.items() if name in wanted and re.fullmatch("[0-9a-f]{40,64}", sha)}


# message of a remote -> (may another try help, sentence). The first match decides.
_REFUSALS = (
    (r"stale info|fetch first|non-fast-forward|reference already exists|cannot lock ref .* but expected", True,
     "The branch {branch} was moved by somebody else at the same time."),
    (r"cannot lock ref .*exists; cannot create", False, "A branch of the remote repository conflicts with the name {branch}. Rename or delete it there."),
    (r"refusing to allow .* workflow|without `?workflows?`? (permission|scope)", False,
     "The token may not change workflow files. Give it the permission workflows, or remove the change."),
    (r"GH00[16]|GH013|protected branch|not allowed to push code|rule violations|GL-PROTECTED|You are not allowed to .*protected", False,
     "The remote repository protects {branch}. Exclude swarm/ from that rule, or let the token's owner push there."),
    (r"rate[- ]limit|returned error: 429|HTTP 429", True, "The remote repository limits requests for a while."),
    (r"quota exceeded|disk quota|no space left", True, "The remote repository has no room left."),
    (r"exceeds (GitHub's )?(file size|maximum|the)|exceeds maximum allowed|pack exceeds|too large|returned error: 413|HTTP 413|over the .*limit", False,
     "The remote repository does not accept a push of this size."),
    (r"hook declined|pre-receive|declined by|denied by hook", False, "A hook of the remote repository rejected the push."),
    (r"authentication failed|invalid credentials|could not read (username|password)|returned error: 401|HTTP 401", None,
     "The remote repository did not accept our login."),
    (r"dubious ownership", False, "The folder of the remote repository belongs to another user than the user of HITL Swarm, "
     "so git refuses to run its hooks. Change its owner, or use an ssh URL."),
    (r"returned error: 403|HTTP 403|permission .*denied|permission denied|not allowed to push|write access|read-only|denied to", False,
     "The login may not push to the remote repository."),
    (r"unable to update url base from redirection|returned error: 30\d|redirect", False,
     "The remote repository has moved to another address. Write the new address into the card."),
    (r"repository not found|not found|does not appear to be a git repository|does not exist|returned error: 404", False,
     "The remote repository is not there, or the login may not see it."),
    (r"shallow update not allowed|remote unpack failed|unpacker error", False, "The remote repository could not store the commits."),
    (r"host key verification failed|no matching host key", False, "This machine's ssh does not know the host key of the remote server."),
)


def refusal(error: RunFailure, branch: str, remote: Remote) -> RunFailure:
    """git's failure as a sentence for people, with the remote's own message. It stays permanent or transient."""
    words = str(error.extra.get("words") or error.sentence)
    for pattern, again, sentence in _REFUSALS:
        if re.search(pattern, words, re.I):
            said = f"{sentence.format(branch=branch)}{_said(words, remote)}"
            return Transient(said) if again else TokenRefused(said) if again is None and remote.token else Permanent(said)
    return error


def _said(words: str, remote: Remote) -> str:
    text = words.replace(remote.token, "[redacted]") if remote.token else words
    text = printable(one_line(re.sub(r"\bremote: ?", "", text)))
    return f" It said: {text[:LONGEST_WORDS]}{'…' if len(text) > LONGEST_WORDS else ''}" if text else ""
