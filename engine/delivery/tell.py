"""Says on a pull request what became of its feedback."""
from engine.forge.base import Forge
from engine.store.db import Database
from engine.tickets.rows import DeliveryRow, ForgeFactRow
from engine.times import NOW

KINDS = {"ci": "the failed checks", "remark": "the comments"}


class _Acted(ForgeFactRow):
    outcome: str | None  # of the last run of the ticket that got it


def tell(db: Database, row: DeliveryRow, forge: Forge) -> None:
    """One comment for all facts that runs got since the last one; none if there are none. A crash in between repeats it."""
    untold = db.all("select f.*, (select outcome from runs r where r.ticket_id = f.ticket_id and outcome in ('merged', 'no_change') order by seq desc limit 1)"
                    " as outcome from forge_facts f where delivery = ? and ticket_id is not null and told_at is null", (row["seq"],), _Acted)
    if not untold:
        return
    about = " and ".join(dict.fromkeys(KINDS.get(fact["kind"], fact["kind"]) for fact in untold))
    tip = row["tip_sha"][:12]
    changed = any(fact["outcome"] == "merged" for fact in untold)
    forge.comment(row["number"] or 0, f"Another run handled {about}. The branch is now at {tip}." if changed else
                  f"Another run looked at {about} and changed nothing. The branch is still at {tip}.")
    db.execute(f"update forge_facts set told_at = {NOW} where delivery = ? and ticket_id is not null and told_at is null", (row["seq"],))
