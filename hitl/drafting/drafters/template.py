"""The drafter that needs no model. It turns the statements of a text into a card, always the same card for the same text."""
from typing import Any

from hitl.card.coverage import RISKS, SCOPE, is_placeholder
from hitl.card.text import key
from hitl.drafting.drafters import Brief, Drafted
from hitl.drafting.drafters.parts import Part, Parts, features
from hitl.drafting.drafters.reader import read
from hitl.drafting.drafters.tasks import tasks
from hitl.drafting.topics import write
from hitl.web.strict_json import canonical

KEPT = ("repository", "base_branch", "review", "checks", "technical_requirements")  # kept from the current card if the text does not state them
NAME_LIMIT = 200


class TemplateDrafter:
    """Reads headings, lists, stories, scenarios, and the Markdown of a PRD or of spec-kit's spec.md and tasks.md."""

    name = "template"

    def draft(self, brief: Brief) -> Drafted:
        card = card_of(brief.name, brief.text)
        for topic, _, given in brief.answers:
            card = write(topic, card, given)
        present = brief.card or {}
        known = {name: value for name, value in present.items() if name in KEPT or name not in ("name", "description", "features")}
        return Drafted({**card, **{name: value for name, value in known.items() if name not in card}}, self.name)


def card_of(name: str, text: str) -> dict[str, Any]:
    """A card from a text alone. It has at least one feature: if the text names none, one feature covers the whole text."""
    parts, found = _found(text)
    card: dict[str, Any] = {"name": " ".join(name.split())[:NAME_LIMIT]}
    if description := _description(parts, found):
        card["description"] = description
    card["features"] = features(found) or [{"title": card["name"]}]
    card |= _rest(parts)
    return card


def add_text(card: dict[str, Any], text: str) -> dict[str, Any]:
    """A copy of a card with the statements of another text. Features with known titles are extended; text that fits nowhere else is description."""
    parts, found = _found(text)
    changed = {**card, "features": [] if found and is_placeholder(card) else [dict(each) for each in card["features"]]}
    places = {key(each["title"]): each for each in changed["features"]}
    for each in features(found):
        known = places.get(key(each["title"]))
        if known is None:
            changed["features"].append(each)
        else:
            _extend(known, each)
    if description := _description(parts, found):
        changed["description"] = "\n\n".join(part for part in (card.get("description", ""), description) if part)
    for name, value in _rest(parts).items():
        present = changed.get(name)
        changed[name] = [*present, *_further(value, present)] if isinstance(present, list) else value
    return changed


def _extend(known: dict[str, Any], more: dict[str, Any]) -> None:
    if more.get("description"):
        known["description"] = "\n\n".join(part for part in (known.get("description", ""), more["description"]) if part)
    for name in ("acceptance_criteria", "depends_on"):
        if more.get(name):
            known[name] = [*known.get(name, []), *_further(more[name], known.get(name, []))]


def _further(more: list[Any], present: list[Any]) -> list[Any]:
    """Those of `more`, texts and criteria, that are not among the present ones."""
    known = {canonical(each) for each in present}
    return [each for each in more if canonical(each) not in known]


def _found(text: str) -> tuple[Parts, list[Part]]:
    """(the parts of the text, its features). Features are the parts named as such, otherwise the headings, otherwise the bullets if there are several."""
    parts = read(text)
    if steps := tasks(text):
        parts = Parts(properties=parts.properties, checks=parts.checks, technical=parts.technical)
        return parts, steps
    if parts.features:
        unused = [*parts.maybe, *parts.bullets]
        parts.description += [[_as_text(each)] for each in unused]
        return parts, parts.features
    if len(parts.maybe) > 1:
        parts.description += [[_as_text(each)] for each in parts.bullets]
        return parts, parts.maybe
    if len(parts.bullets) > 1:
        parts.description += [[_as_text(each)] for each in parts.maybe]
        return parts, parts.bullets
    parts.description += [[_as_text(each)] for each in (*parts.maybe, *parts.bullets)]
    return parts, []


def _as_text(part: Part) -> str:
    items = [f"- {item if isinstance(item, str) else item['text']}" for item in part.criteria]
    return "\n".join([part.title, *part.description, *items])


def _description(parts: Parts, found: list[Part]) -> str:
    paragraphs = [text for lines in parts.description if (text := "\n".join(lines).strip())]
    if parts.scope:
        paragraphs.append(SCOPE + "; ".join(parts.scope))
    return "\n\n".join(paragraphs)


def _rest(parts: Parts) -> dict[str, Any]:
    technical = [*dict.fromkeys(parts.technical), *([RISKS + "; ".join(parts.risks)] if parts.risks else [])]
    return {**({"technical_requirements": technical} if technical else {}), **({"checks": list(dict.fromkeys(parts.checks))} if parts.checks else {}),
            **parts.properties}
