"""The types see what is misspelt: a column, a part of the application, a status; and a row that says of no columns has none."""
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import ROOT

BEGIN = "from engine.store.db import Database\nfrom engine.tickets.rows import TicketRow\nfrom engine.tickets.session_rows import SessionRow\n" \
        "from engine.tickets.states import change\nfrom hitl.web.context import swarm\n\n\ndef look(db: Database) -> None:\n"
TYPOS = {
    "a column": ('    session = db.the("select * from hitl_sessions", (), SessionRow)\n    print(session["isolatoin"])\n',
                 'TypedDict "SessionRow" has no key "isolatoin"'),
    "an attribute of the application": ("    print(swarm().confg)\n", '"Swarm" has no attribute "confg"'),
    "a status": ('    change(db, "complete", "id = :id", {"id": "TKT-001"})\n', 'Argument 2 to "change" has incompatible type'),
    "a row without its type": ('    for row in db.all("select id from tickets"):\n        print(row["id"])\n', 'matches argument type "str"'),
}


def test_what_is_misspelt_is_an_error_and_what_is_not_is_none(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    expected = {}
    for number, (lines, error) in enumerate(TYPOS.values()):
        (tmp_path / f"typo_{number}.py").write_text(BEGIN + lines)
        expected[f"typo_{number}.py"] = error
    (tmp_path / "fine.py").write_text(BEGIN + '    for ticket in db.all("select * from tickets", (), TicketRow):\n        print(ticket["title"])\n')
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), *map(str, sorted(tmp_path.glob("*.py")))], cwd=ROOT,
                          capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(TYPOS), done.stdout
    for name, error in expected.items():
        assert [error in line for line in errors if name in line] == [True], done.stdout
