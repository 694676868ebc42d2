"""A look at a repository that this installation knows, which its row then remembers."""
from engine.errors import BadRequest, RunFailure
from engine.forge import login_of
from engine.git.look import shown
from engine.git.remote import login
from engine.git.source import validate_source
from engine.repositories import sources
from engine.repositories.rows import RepositoryRow
from hitl.web.context import Swarm

FOUND = ("usable", "empty", "no_branch")  # states of a look at a repository that answered


def look_at(swarm: Swarm, row: RepositoryRow, wait: float) -> RepositoryRow:
    """Looks at the repository, at most `wait` seconds long -> its row as it is then; `unknown` while the look goes on. Ask again later."""
    config = swarm.config
    try:
        url, protocols = validate_source(row["url"], config.repository_roots, config.repository_url, config.repository_protocols)
        keys = login_of(config, url)
    except (BadRequest, RunFailure) as error:  # the second: the file with the forge's token cannot be read
        return sources.looked(swarm.db, row, "unreachable", error.sentence, None)
    seen = swarm.looks.at(url, protocols, None, login(url, keys.get("token", ""), keys.get("user", "")), wait)
    if seen is None:
        return row
    branch = None if seen.branch is None else shown(seen.branch)
    return sources.looked(swarm.db, row, "reachable" if seen.state in FOUND else "unreachable", seen.sentence, branch)
