"""`make forge-live`: one small delivery to a real forge, to a repository that the caller names. Never part of the tests.

    FORGE_LIVE_REPOSITORY=https://github.com/you/scratch.git SWARM_FORGE_TOKEN=… make forge-live
"""
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.config import Config
from engine.delivery.push import Remote, push
from engine.errors import SwarmError
from engine.forge import connect, login_of, place_of
from engine.git.repository import Repository


def main() -> int:
    url, config = os.environ.get("FORGE_LIVE_REPOSITORY", ""), Config.from_env()
    place = place_of(config, url) if url else None
    if place is None:
        print(__doc__, "\nNothing was called: FORGE_LIVE_REPOSITORY and SWARM_FORGE_TOKEN are needed, and the URL must be on the token's forge.")
        return 2
    branch = f"swarm/live/try-{int(time.time())}"
    with tempfile.TemporaryDirectory() as folder:
        repository, login = Repository(Path(folder, "r.git")), login_of(config, url)
        repository.create()
        protocols = (url.partition("://")[0],) if "://" in url else ("ssh",)
        forge = connect(config, place)
        base = forge.default_branch()
        remote = Remote(url, protocols, **login)
        with remote.reached() as env:
            repository.fetch(url, protocols, env)
        head = repository.head(f"refs/remotes/origin/{base}")
        assert head is not None, f"{base} is empty"
        tree = repository.git("rev-parse", f"{head}^{{tree}}").decode().strip()
        tip = repository.commit(tree, (head,), "Try the delivery of HITL Swarm\n", int(time.time()))
        print("pushed:", push(repository, remote, branch, tip, None), branch)
        print("pushed again:", push(repository, remote, branch, tip, tip))
        change = forge.open_change(branch, base, "Try the delivery of HITL Swarm", "Opened by `make forge-live`. Close it, and delete its branch.")
        print("opened:", change, "\nfound:", forge.find_open_change(branch) == change)
        print("state:", forge.check_state(change.number))
        print("again:", forge.open_change(branch, base, "x", "y") == change)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SwarmError as error:
        print(f"forge-live: {error.sentence}", file=sys.stderr)
        sys.exit(1)
