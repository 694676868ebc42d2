"""What must be true of features that left odd states in their clones (odd.py): merged whole, or failed with a reason that names it."""
import re
import sqlite3

from tests.whole.chaos import odd
from tests.whole.chaos.world import World


def is_expected(world: World, run: sqlite3.Row) -> bool:
    """Is this the first failed run of a feature whose first attempt has to fail, for the reason that it must name?"""
    kind = odd.kind_of(world.value("select description from tickets where id = ?", run["ticket_id"]) or "")
    if kind not in odd.NAMED or odd.NAMED[kind].words not in (run["reason"] or ""):
        return False
    return kind == odd.OVERDUE or not world.value("select 1 from runs where ticket_id = ? and outcome = 'failed' and seq < ?", run["ticket_id"], run["seq"])


def is_kept(world: World, ref: str) -> bool:
    """Is this the ref of what a failed attempt left, which stays on purpose?"""
    found = re.match(r"refs/swarm/kept/swarm/\w+/(tkt-\d+)-", ref)
    description = world.value("select description from tickets where id = ?", found[1].upper()) if found else None
    return odd.kind_of(description or "") in odd.NAMED


def tickets(world: World) -> list[str]:
    """A sentence for each odd feature that is not merged whole, or whose attempt that had to fail did not."""
    found = []
    for row in world.rows("select t.*, e.branch_name as into_branch, r.id as run, r.reason as said from tickets t join tickets e on e.id = t.parent_id"
                          " join runs r on r.ticket_id = t.id and r.kind = 'feature' and r.outcome = 'merged' order by t.seq"):
        kind = odd.kind_of(row["description"])
        if kind is not None:
            world.odd[kind] += 1
            found += [f"{row['id']} ({kind}) {sentence}" for sentence in _one(world, row, kind)]
    return found


def _one(world: World, row: sqlite3.Row, kind: str) -> list[str]:
    expected, found = odd.ALL[kind], []
    failed = [each["id"] for each in world.rows("select id from runs where ticket_id = ? and outcome = 'failed'", row["id"])]
    killed = [each["id"] for each in world.rows("select id from runs where ticket_id = ? and outcome = 'transient'", row["id"])]
    left_by = failed or killed  # git may have been killed when what the attempt left was kept, and its failure was not recorded
    if kind in odd.NAMED and not left_by:
        found.append(f"has {len(failed)} failed attempts")
    if kind in odd.WHOLE and expected.words not in f"{row['reason']} {row['said']}":
        found.append(f"does not say “{expected.words}” but: {row['reason']}")
    for name in expected.names:
        path, writers = f"odd/{row['title']}/{name}", left_by if name == "came-along" else [row["run"]]
        if world.git(row["session_id"], "show", f"{row['into_branch']}:{path}").stdout.strip() not in writers:
            found.append(f"was merged without {path} as it was left")
    if expected.absent and world.git(row["session_id"], "cat-file", "-e", f"{row['into_branch']}:odd/{row['title']}/{expected.absent}").returncode == 0:
        found.append(f"was merged with {expected.absent}")
    return found
