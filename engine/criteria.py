"""The acceptance criteria of a ticket, from its column."""
from engine.jobs import Criterion
from engine.text import stored


def criteria_of(text: str) -> tuple[Criterion, ...]:
    """Criteria from tickets.acceptance_criteria, as stored or edited by hand; entries that are not valid are left out."""
    found = []
    for item in stored(text, []):
        if isinstance(item, str):
            found.append(Criterion(item))
        elif isinstance(item, dict):
            check = str(item.get("check") or "")
            found.append(Criterion(str(item.get("text") or check), check, str(item.get("waived") or ""), str(item.get("kept") or "")))
    return tuple(found)
