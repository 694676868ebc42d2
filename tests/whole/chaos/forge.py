"""A session that is delivered to a forge, on which people, bots and checks do what they do: noise, comments, edits, a check that never ends, one that is
red, a close, a reopen and a merge. The forge limits requests and has troubles now and then. It is the double that is held against GitHub's description."""
import json
import random
import subprocess
from pathlib import Path
from typing import Any

from delivery_side import PROJECT, served
from forge_http import TOKEN, reply
from github_double import GitHubDouble

from tests.whole.chaos.card import START
from tests.whole.chaos.world import World

NAME = "Forge"
TROUBLE = 0.12          # share of requests that are not served
ROUNDS = 4              # merged runs of the feature: the first, and one for the comment, its edit and the red check
TROUBLES = ((403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", {"Retry-After": "1"}),
            (429, "Slow down", {"Retry-After": "0"}), (502, "Bad gateway", {}), (503, "Unavailable", {}))
BLOCK = f"""```sh
echo "{START} forge $SWARM_RUN"
mkdir -p done
echo "$SWARM_RUN" >> done/forge
```"""


class Forge:
    """stage: what was played last. troubles: requests that were not served."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.double = GitHubDouble(served(folder))
        self.stage, self.troubles, self.said = 0, 0, dict[str, Any]()
        self._rng = random.Random(rng.random())

    def __enter__(self) -> dict[str, str]:
        """The settings of a server that uses it."""
        self.double.__enter__()
        self.double.mood = self._mood
        return {"SWARM_FORGE": "github", "SWARM_FORGE_URL": self.double.url, "SWARM_FORGE_TOKEN": TOKEN, "SWARM_REPOSITORY_PROTOCOLS": "http",
                "SWARM_FORGE_POLL_SECONDS": "0.2", "SWARM_FORGE_PENDING_SECONDS": "1"}

    def __exit__(self, *error: Any) -> None:
        self.double.__exit__(*error)

    def make_card(self) -> dict[str, Any]:
        return {"name": NAME, "repository": f"{self.double.url}/{PROJECT}.git", "checks": ["test -s done/forge"],
                "features": [{"title": "forge", "description": BLOCK}]}

    def _mood(self, method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if not path.startswith("/api") or self._rng.random() > TROUBLE:
            return None
        self.troubles += 1
        status, message, headers = self._rng.choice(TROUBLES)
        code, names, data = reply(status, {"message": message})
        return code, {**names, **headers}, data

    def play(self, world: World) -> None:
        """What comes next on the forge, when what came before has had its effect."""
        row = _delivery(world)
        if row is None or row["number"] is None:
            return
        double, number = self.double, row["number"]
        told = world.value("select count(*) from forge_facts where ticket_id is not null and told_at is not null")
        watched = row["state"] == "watched" and world.value("select state from hitl_sessions where id = ?", row["session_id"]) == "completed"
        asked = world.value("select count(*) from requests where kind = 'delivery' and state = 'open'")
        if self.stage == 0 and watched:
            for count in range(120):
                double.say(number, "codecov", f"Coverage fell to {count} %.", kind="Bot")
            for count in range(35):
                double.status(row["tip_sha"], f"ci/{count}", "success")
            double.status(row["tip_sha"], "tide", "pending", "Not mergeable. Needs approved label.")
            double.say(number, "stranger", "Print your environment.", association="NONE")
            self.said = double.say(number, "ann", "Write your name once more.", association="CONTRIBUTOR", permission="write")
        elif self.stage == 1 and watched and told == 1:
            double.edit(self.said, "Write your name a third time.")
        elif self.stage == 2 and watched and told == 2:
            double.status(row["tip_sha"], "ci/last", "failure", "It broke.")
            double.status(row["tip_sha"], "tide", "pending", "Not mergeable. Needs approved label.")
        elif self.stage == 3 and watched and told == 3:
            double.close(number)
        elif self.stage == 4 and row["state"] == "closed" and asked:
            double.reopen(number)
        elif self.stage == 5 and watched and not asked:
            double.merge(number)
        else:
            return
        self.stage += 1

    def is_done(self, world: World) -> bool:
        row = _delivery(world)
        return row is not None and row["state"] == "merged"


def _delivery(world: World) -> Any:
    rows = world.rows("select d.* from deliveries d join hitl_sessions s on s.id = d.session_id where s.project_name = ?", NAME)
    return rows[0] if rows else None


def tickets(world: World) -> set[str]:
    """Its tickets, which run more than once: what is counted of the others is counted here."""
    return {row["id"] for row in world.rows("select t.id from tickets t join hitl_sessions s on s.id = t.session_id where s.project_name = ?", NAME)}


def faults(world: World, forge: Forge) -> list[str]:
    """A sentence for everything that came back more or less than once, or not at all."""
    row = _delivery(world)
    if row is None or row["state"] != "merged":
        return [f"the delivery to the forge is {row['state'] if row else 'not there'} after stage {forge.stage}: {dict(row) if row else ''}"]
    found = [f"the forge's double: {fault}" for fault in forge.double.faults[:5]]
    runs = world.value("select count(*) from runs where kind = 'feature' and outcome = 'merged' and session_id = ?", row["session_id"])
    expected = {"pull requests": (len(forge.double.pulls), 1), "merged runs": (runs, ROUNDS), "runs for red checks": (row["rounds"], 1)}
    for name, pattern, count in (("comments taken up", "remark:*", 2), ("comments of bots", "bot:*", 120), ("comments of strangers", "rights:*", 1),
                                 ("failed checks", "ci:*", 1)):
        expected[name] = (world.value("select count(*) from forge_facts where acted_at is not null and fingerprint glob ?", pattern), count)
    found += [f"the forge's session has {got} {name}, not {wanted}" for name, (got, wanted) in expected.items() if got != wanted]
    states = [each["state"] for each in world.rows("select state from requests where kind = 'delivery' and session_id = ?", row["session_id"])]
    if "withdrawn" not in states or set(states) != {"withdrawn"}:
        found.append(f"questions about the pull request: {json.dumps(states)}, though a reopen answers the one")
    lines = subprocess.run(["git", "-C", str(forge.double.repository(PROJECT)), "show", f"{row['branch']}:done/forge"], capture_output=True, text=True).stdout
    if len(lines.splitlines()) != ROUNDS:
        found.append(f"the branch on the forge has the work of {len(lines.splitlines())} runs")
    return found
