"""The first commit of an empty repository, when someone wants HITL Swarm to make it. Nothing else is ever pushed outside swarm/."""
from collections.abc import Mapping
from pathlib import Path

from engine.errors import Permanent, RunFailure, Transient
from engine.git.repository import Repository

# Into a folder with files, git pushes to the branch that is checked out only if it may also write the files, as this says.
RECEIVE = "git -c receive.denyCurrentBranch=updateInstead receive-pack"


def push_first_commit(repository: Repository, url: str, protocols: tuple[str, ...], branch: str, name: str, when: int, login: Mapping[str, str]) -> str:
    """Makes the commit (README.md with the heading `name`, .gitignore) and pushes it to refs/heads/<branch>, which must not exist there. -> sha

    As in a delivery, a local repository must belong to our own user, because its hooks run. Raises Transient if there is a commit now; Permanent."""
    sha = repository.first_commit(name, when)
    receive = (f"--receive-pack={RECEIVE}",) if protocols == ("file",) and (Path(url) / ".git").exists() else ()
    try:
        repository.git("push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", f"--force-with-lease=refs/heads/{branch}:", *receive,
                       "--", url, f"{sha}:refs/heads/{branch}", env={"GIT_ALLOW_PROTOCOL": ":".join(protocols), **login})
    except Permanent as error:
        if "stale info" in error.sentence or "already exists" in error.sentence:
            raise Transient(f"Somebody else made the first commit of {url} at the same time. It is looked at again.") from error
        raise Permanent(f"HITL Swarm could not make the first commit of {url}: {_words(error)}. Make one there yourself, then try again.") from error
    return sha


def _words(error: RunFailure) -> str:
    return str(error.extra.get("words") or error.sentence).removeprefix("fatal: ").rstrip(".")
