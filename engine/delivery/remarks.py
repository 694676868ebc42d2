"""Comments on a pull request, as facts: those that count wait for a run, the others are kept for a person to see.

A comment counts if its author may write to the repository. A text that was edited is read again, as a new comment. A fingerprint is remark:<id> (with a
number after it for a later text), or <why>:<id> of a comment that was not taken up."""
from collections.abc import Callable
from typing import Literal

from engine.forge.base import Remark, clean
from engine.store.db import Database
from engine.tickets.rows import DeliveryRow, ForgeFactRow
from engine.times import NOW

Why = Literal["bot", "rights", "unknown"]
MOST_NEW = 50             # comments that one look records; each may cost a request for its author's permission
MOST_REMARKS = 50         # comments in one prompt
LONGEST_NOT_TAKEN = 2000  # characters that are kept of a comment that is not taken up
_KNOWN = "delivery = ? and kind = 'remark'"


def record(db: Database, row: DeliveryRow, remarks: list[Remark], may_write: Callable[[Remark], bool | None]) -> bool:
    """Records comments that are new, or have another text than before. -> True if one of them counts, or more are to be recorded.

    may_write asks the forge, so it is called outside the transaction."""
    known = {fact["fingerprint"].split(":")[1]: fact["body"].partition("\n")[2] for fact in db.all(
        f"select * from forge_facts where {_KNOWN} order by seq", (row["seq"],), ForgeFactRow)}
    changed = [remark for remark in remarks if known.get(remark.id) not in (remark.text, clean(remark.text, LONGEST_NOT_TAKEN))]
    verdicts = [(remark, _why_not(remark, may_write)) for remark in changed[:MOST_NEW]]
    with db.transaction():
        for remark, why in verdicts:
            _keep(db, row, remark, why)
    return len(changed) > MOST_NEW or any(why is None for _, why in verdicts)


def _why_not(remark: Remark, may_write: Callable[[Remark], bool | None]) -> Why | None:
    if remark.bot:
        return "bot"
    counts = may_write(remark)
    return None if counts else "unknown" if counts is None else "rights"


def _keep(db: Database, row: DeliveryRow, remark: Remark, why: Why | None) -> None:
    head = f"{remark.author} wrote" + (f" on {remark.path}" if remark.path else "") + (f", line {remark.line}" if remark.line else "") + ":"
    db.execute(f"delete from forge_facts where {_KNOWN} and fingerprint in (?, ?, ?)",
               (row["seq"], *(f"{each}:{remark.id}" for each in ("bot", "rights", "unknown"))))
    if why:
        db.execute(f"insert into forge_facts (delivery, fingerprint, kind, body, acted_at) values (?, ?, 'remark', ?, {NOW})",
                   (row["seq"], f"{why}:{remark.id}", f"{head}\n{clean(remark.text, LONGEST_NOT_TAKEN)}"))
        return
    versions = db.all(f"select * from forge_facts where {_KNOWN} and (fingerprint = ? or fingerprint glob ?) order by seq",
                      (row["seq"], f"remark:{remark.id}", f"remark:{remark.id}:*"), ForgeFactRow)
    if versions and versions[-1]["acted_at"] is None:
        db.execute("update forge_facts set body = ? where seq = ?", (f"{head}\n{remark.text}", versions[-1]["seq"]))
        return
    fingerprint = f"remark:{remark.id}" + (f":{len(versions) + 1}" if versions else "")
    edited = head.replace(" wrote", " changed an earlier comment", 1) if versions else head
    db.execute("insert into forge_facts (delivery, fingerprint, kind, body) values (?, ?, 'remark', ?)", (row["seq"], fingerprint, f"{edited}\n{remark.text}"))


def waiting(db: Database, row: DeliveryRow) -> list[int]:
    """Comments that no run has got yet: the facts, oldest first."""
    return [fact["seq"] for fact in db.all(f"select seq from forge_facts where {_KNOWN} and acted_at is null order by seq limit ?",
                                           (row["seq"], MOST_REMARKS), ForgeFactRow)]
