"""What people, bots and checks do on a pull request, in the same words on both forges."""
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from delivery_side import PROJECT, Built, for_forge, served
from github_double import GitHubDouble
from gitlab_double import GitLabDouble

from engine.config import Config
from engine.store.db import Database


class OnGitHub:
    """Members are private: the association says nothing of them."""

    name = "github"

    def __init__(self, double: GitHubDouble) -> None:
        self.double = double

    def say(self, text: str, writes: bool = True, bot: bool = False, who: str = "ann") -> dict[str, Any]:
        return self.double.say(1, who, text, kind="Bot" if bot else "User", association="CONTRIBUTOR", permission="write" if writes else "read")

    def red(self, sha: str, name: str = "build", pending: bool = False) -> None:
        self.double.status(sha, name, "failure", "It broke.")
        if pending:
            self.double.status(sha, "tide", "pending", "Not mergeable.")

    def still_runs(self, sha: str) -> None:
        self.double.status(sha, "tide", "pending", "Not mergeable.")

    def move(self, to: str, number: int = 1) -> None:
        {"merged": self.double.merge, "closed": self.double.close, "opened": self.double.reopen}[to](number)

    def bases(self) -> list[str]:
        return [pull["base"]["ref"] for pull in self.double.pulls]

    def told(self) -> list[dict[str, Any]]:
        return self.double.comments.get(1, [])

    def there(self) -> tuple[str, str, bool]:
        pull = self.double.pulls[0]
        return pull["title"], pull["body"], pull["draft"]

    def write(self, **what: Any) -> None:
        """By hand. title, body, draft."""
        self.double.pulls[0] |= what


class OnGitLab:
    name = "gitlab"

    def __init__(self, double: GitLabDouble) -> None:
        self.double = double

    def say(self, text: str, writes: bool = True, bot: bool = False, who: str = "ann") -> dict[str, Any]:
        return self.double.say(1, "project_5_bot_0a" if bot else who, text, level=30 if writes else 20)

    def red(self, sha: str, name: str = "build", pending: bool = False) -> None:
        self.double.fail(sha, name, "It broke.", status="running" if pending else "failed")

    def still_runs(self, sha: str) -> None:
        self.double.pipelines[sha] = [{"id": 7, "sha": sha, "status": "running", "ref": "x", "source": "push"}]
        self.double.jobs[7] = []

    def move(self, to: str, number: int = 1) -> None:
        self.double.move(number, to)

    def bases(self) -> list[str]:
        return [change["target_branch"] for change in self.double.changes]

    def told(self) -> list[dict[str, Any]]:
        return self.double.notes.get(1, [])

    def there(self) -> tuple[str, str, bool]:
        change = self.double.changes[0]
        return change["title"].removeprefix("Draft: "), change["description"], change["draft"]

    def write(self, **what: Any) -> None:
        change = self.double.changes[0]
        draft = what.pop("draft", change["draft"])
        title = what.pop("title", change["title"].removeprefix("Draft: "))
        change |= {"title": ("Draft: " if draft else "") + title, "draft": draft, "description": what.pop("body", change["description"])}


FORGES = [(GitHubDouble, OnGitHub), (GitLabDouble, OnGitLab)]
Forge = OnGitHub | OnGitLab


def on_a_forge(pair: Any, folder: Path) -> Iterator[Any]:
    """For a fixture: what people do on the forge of one of FORGES; at the end the double must have found no fault."""
    double, people = pair
    with double(served(folder)) as server:
        yield people(server)
        assert server.faults == []


def watched(db: Database, config: Config, forge: Forge, folder: Path, **options: Any) -> Built:
    """A build whose pull request is open and watched. options: of Built."""
    config = dataclasses.replace(for_forge(config, forge.double.url), forge=forge.name)
    made = Built(db, config, folder, f"{forge.double.url}/{PROJECT}.git", forge.double.repository(PROJECT), **options)
    made.go()
    assert made.state() == "completed" and made.row()["state"] == "watched"
    return made


def unchanged(built: Built) -> None:
    """The started run changed nothing, and the whole passed once more."""
    ticket = built.ticket("TKT-002")
    assert ticket["status"] == "ready", "a run was started"
    run = f"none-{built.db.value('select count(*) from runs')}"
    built.db.execute("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, outcome, ended_at)"
                     " values (?, ?, ?, 'feature', 'ended', ?, 'x', 2, 'no_change', '2026-01-05')", (run, ticket["id"], built.session, run))
    built.db.execute("update tickets set status = 'completed', claim_token = null where id = ?", (ticket["id"],))
    built.intend()
    built.go(2)
