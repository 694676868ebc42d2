"""Builds in a repository whose dependencies are made once: setups are killed at each step, and each feature looks whether its environment is whole."""
import random
import subprocess
from pathlib import Path
from typing import Any

from engine.environments import layers
from engine.environments.steps import Steps, digest
from tests.whole.chaos.card import make_card
from tests.whole.chaos.world import GIT, World, answered, until

STEPS = Steps(setup=('echo once >> "$HOME/count"; mkdir .env; sleep 0.3; seq 2000 > .env/made', "sleep 0.1; touch .env/whole"))
WHOLE = 'test -e .env/whole && test "$(cat "$HOME/count")" = once\n'
AIM_SECONDS, ASKS = 15.0, "environment"


def begin_build(world: World, card: dict[str, Any]) -> dict[str, Any]:
    """Approves the steps once, and gives the repository a commit with other inputs, so that this build waits for a setup. -> the card"""
    url = _commit(world.data.parent / "project", world.counts["environments"])
    server = world.plain()
    made = server.call("/api/repositories", {"url": url})
    if made is None or made[0] not in (200, 201):
        raise RuntimeError(f"to add the repository was answered with {made}")
    path = f"/api/repositories/{made[1]['id']}"
    if made[0] == 201:
        answered(server.call(path, {"environment": STEPS.as_json()}, "PATCH"), 200)
        answered(server.call(f"{path}/environment/approve", {"sha256": digest(STEPS)}), 200)
    for feature in card["features"]:
        feature["description"] = feature["description"].replace("mkdir -p done shared\n", f"{WHOLE}mkdir -p done shared\n")
    return {**card, "repository": url}


def make(rng: random.Random, number: int) -> dict[str, Any]:
    return make_card(rng, f"Environment {number}", 6, checks=True)


def _commit(folder: Path, number: int) -> str:
    work, bare = folder / "work", folder / "remote.git"
    environment = {**GIT, **{f"GIT_{who}_{what}": "chaos@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env=environment)
    if not bare.exists():
        folder.mkdir(parents=True)
        git("init", "-q", "--bare", "-b", "main", str(bare))
        git("clone", "-q", str(bare), str(work))
        (work / ".gitignore").write_text(".env\n")
    (work / "requirements.txt").write_text(f"# {number}\n")
    for arguments in (["add", "-A"], ["commit", "-q", "-m", f"Inputs {number}"], ["push", "-q", "origin", "HEAD:main"]):
        git("-C", str(work), *arguments)
    return str(bare)


def help_out(world: World) -> None:
    """A setup that was killed three times in a row asks; someone lets it try again."""
    if world.server is None or world.server.url is None or not (world.data / "swarm.db").exists():
        return
    for row in world.rows("select seq, ticket_id from requests where state = 'open' and kind = ? and ticket_id is not null", ASKS):
        answer = world.server.call(f"/api/tickets/{row['ticket_id']}/answer", {"answer": "Try again"})
        world.counts["questions about environments answered"] += answer is not None and answer[0] == 200


def setup_point(world: World, name: str) -> bool:
    """Every setup that this server starts dies at the point; the server is killed when one has."""
    before = len(world.engine_ids())
    world.plain()
    if not world.value("select count(*) from tickets where type = 'epic' and waits_for = 'environment' and status = 'running'"):
        world.begin_environment()
    world.start(crash=name)

    def ended() -> bool:
        since = world.runs_since(before)
        return any(row["id"] in since for row in world.rows("select id from runs where kind = 'setup' and outcome in ('lost', 'transient')"))
    hit = until(ended, AIM_SECONDS, 0.05)
    world.kill()
    world.killable |= world.runs_since(before)
    return bool(hit)


def faults(world: World) -> list[str]:
    """A sentence for each snapshot that is not whole, and for what killed setups left."""
    found, data = [], world.data
    if not layers.root(data).exists():
        return found
    for link in (path for path in layers.root(data).iterdir() if path.is_symlink()):
        snapshot = layers.read(link)
        if snapshot is None or layers.damage(snapshot):
            found.append(f"the environment {link.name} is not whole")
        elif (snapshot.folder / "home" / "count").read_text() != "once\n" or not (snapshot.folder / "repo" / ".env" / "whole").exists():
            found.append(f"the environment {link.name} was made by half, or twice")
    until(lambda: not list(layers.root(data).glob("*.tmp")), 10, 0.2)
    found += [f"left over: environments/{path.name}" for path in layers.root(data).glob("*.tmp")]
    lost = world.rows("select id from runs where kind = 'setup' and outcome in ('lost', 'transient')")
    return found + [f"{row['id']} was lost, and nobody had killed its runner" for row in lost if row["id"] not in world.killable]
