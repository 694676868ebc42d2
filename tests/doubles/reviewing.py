"""A ticket in review over a real repository, without an engine: commits by git, rows as the engine leaves them."""
import subprocess
from pathlib import Path
from typing import Any

from conftest import git
from serving import session

from engine.git.branches import repository_path
from engine.tickets import requests, settle

CARD = {"name": "Shop", "review": True, "features": [{"title": "F1", "acceptance_criteria": [{"text": "It works", "check": "true"}]}]}
INTEGRATION, BRANCH = "swarm/tkt-001-shop", "swarm/tkt-002-f1"
SHOP = "def total(prices):\n    result = 0\n    for price in prices:\n        result += price\n    return result\n"


class Review:
    """TKT-002 of a build, and its repository. hand_over() commits what is in `tree` and puts it in review."""

    def __init__(self, client: Any, db: Any, config: Any, folder: Path) -> None:
        self.db, self.tree = db, folder / "tree"
        made = session(client, CARD, approved=True)
        assert client.post(f"/api/hitl/{made['id']}/start-build", json={"confirmed": True}).status_code == 200
        self.tree.mkdir()
        git(self.tree, "init", "-q", "-b", "main")
        (self.tree / "shop.py").write_text(SHOP)
        (self.tree / "old.txt").write_text("the same text on several lines\n" * 5)
        self.base = self.commit()
        self.path = repository_path(config, made["id"])
        subprocess.run(["git", "clone", "-q", "--bare", self.tree, self.path], check=True, capture_output=True)
        git(self.path, "branch", INTEGRATION, self.base)
        db.execute("update tickets set status = 'running', base_sha = ?, branch_name = ? where id = 'TKT-001'", (self.base, INTEGRATION))
        settle.session(db, made["id"])

    def commit(self) -> str:
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "-q", "--allow-empty", "-m", "work")
        return git(self.tree, "rev-parse", "HEAD").strip()

    def hand_over(self, base: str | None = None) -> str:
        tip = self.commit()
        git(self.tree, "push", "-q", "-f", str(self.path), f"HEAD:refs/heads/{BRANCH}")
        number = self.db.value("select count(*) from runs") + 1
        self.db.execute("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, base_sha, tip_sha, outcome, checks,"
                        " ended_at) select ?, id, session_id, 'feature', 'ended', 't', 'e', ?, ?, ?, 'in_review',"
                        " '[{\"text\": \"It works\", \"command\": \"true\", \"passed\": true, \"seconds\": 0.1, \"output\": \"\"}]', '2026-11-20T14:08:00.000Z'"
                        " from tickets where id = 'TKT-002'", (f"TKT-002-{number}-x", number, base or self.base, tip))
        self.db.execute("update tickets set status = 'in_review', branch_name = ?, run_no = ?, claim_token = null where id = 'TKT-002'", (BRANCH, number))
        requests.open_review(self.db, self.db.one("select * from tickets where id = 'TKT-002'"), f"TKT-002-{number}-x")
        return tip

    def write(self, name: str | bytes, text: str | bytes) -> None:
        path = Path(str(self.tree)) / (name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
