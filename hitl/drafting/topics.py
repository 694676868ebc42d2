"""The question for each topic with its suggested answers, and how an answer is written into the card and removed from it again."""
import copy
import re
from collections.abc import Callable
from typing import Any

from engine.errors import BadRequest
from hitl.card import coverage
from hitl.card.coverage import GOAL, RISKS, SCOPE
from hitl.card.text import key
from hitl.session.questions import Question

Card = dict[str, Any]
ONE = "One feature that does all of it"
EXAMPLE = "For each feature, an example that is run shows that it works"
TESTED = "For each feature, automated tests cover it, and they pass"
FRESH = "A fresh repository of its own"
OWN_CHECKS = "No further command: the features' own criteria are enough"
_EACH = {EXAMPLE: "An example that is run shows that “{title}” works.", TESTED: "Automated tests cover “{title}”, and they pass."}
MOST_ENTRIES = 100  # entries of one answer


def question(topic: str, card: Card) -> Question:
    """The question about a topic that this card does not cover."""
    return _QUESTIONS[topic](card)


def write(topic: str, card: Card, answer: str) -> Card:
    """A copy of the card with the answer in it. Raises BadRequest for an answer that cannot be read."""
    changed = copy.deepcopy(card)
    _WRITE[topic](changed, answer.strip())
    return changed


def take_out(topic: str, card: Card, answer: str) -> Card:
    """A copy of the card without the parts that write() added for this answer, if they are still there."""
    changed = copy.deepcopy(card)
    gone = set(_entries(answer))
    if topic in ("goal", "scope"):
        return changed  # another answer replaces the paragraph in its place
    if topic in ("technical", "risks", "checks"):
        name = "checks" if topic == "checks" else "technical_requirements"
        gone |= {RISKS + answer.strip()}
        changed[name] = [item for item in changed.get(name, []) if item not in gone]
        if not changed[name]:
            del changed[name]
    elif topic == "repository" and answer != FRESH:
        for name in ("repository", "base_branch"):
            changed.pop(name, None)
    elif topic == "acceptance":
        for feature in changed["features"]:
            added = set(_criteria(feature, answer))
            feature["acceptance_criteria"] = [item for item in feature.get("acceptance_criteria", []) if not isinstance(item, str) or item not in added]
    elif topic == "features" and answer != ONE:
        titles = {key(each) for each in gone}
        kept = [each for each in changed["features"] if key(each["title"]) not in titles or each.keys() - {"title"}]
        changed["features"] = kept or [{"title": changed["name"]}]
    return changed


def _entries(answer: str) -> list[str]:
    """The entries of an answer, one for each line or separated by semicolons, without list marks. Raises BadRequest."""
    parts = [re.sub(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+", "", part).strip() for part in re.split(r"[\n;]", answer)]
    found = list(dict.fromkeys(part for part in parts if part))
    if not 1 <= len(found) <= MOST_ENTRIES:
        raise BadRequest(f"An answer has 1 to {MOST_ENTRIES} entries. Write each on its own line.")
    return found


def _label(card: Card, label: str, text: str) -> None:
    """Replaces the paragraph of the description that starts with this label, or appends a new one."""
    parts = [part for part in card.get("description", "").split("\n\n") if part.strip()]
    place = next((n for n, part in enumerate(parts) if part.startswith(label)), len(parts))
    parts[place:place + 1] = [label + " ".join(text.split())]
    card["description"] = "\n\n".join(parts)


def _write_features(card: Card, answer: str) -> None:
    if answer == ONE:
        return
    features = [] if _stands_for_all(card) else card["features"]
    known = {key(each["title"]) for each in features}
    for title in _entries(answer):
        if key(title) not in known:
            features.append({"title": title})
            known.add(key(title))
    card["features"] = features


def _stands_for_all(card: Card) -> bool:
    """Whether the card has only the placeholder feature, which nobody has described. A suggested answer may have given it a criterion."""
    bare = [{name: value for name, value in each.items() if name != "acceptance_criteria" or not _is_ours(each)} for each in card["features"]]
    return coverage.is_placeholder({**card, "features": bare}) and not bare[0].get("description")


def _is_ours(feature: dict[str, Any]) -> bool:
    return all(item in [each.format(title=feature["title"].strip()) for each in _EACH.values()] for item in feature["acceptance_criteria"])


def _criteria(feature: dict[str, Any], answer: str) -> list[str]:
    return [_EACH[answer].format(title=feature["title"].strip())] if answer in _EACH else _entries(answer)


def _write_acceptance(card: Card, answer: str) -> None:
    for feature in card["features"]:
        if not feature.get("acceptance_criteria"):
            feature["acceptance_criteria"] = _criteria(feature, answer)


def _write_repository(card: Card, answer: str) -> None:
    """Reads owner/repo, a URL or a path, then the base branch, if there is one. The card's validation checks whether it is allowed."""
    if answer == FRESH:
        return
    words = re.sub(r"[,;]|\b(?:on|branch|at)\b", " ", answer).split()
    if not 1 <= len(words) <= 2:
        raise BadRequest("Answer with owner/repo, a URL or a path. Add the base branch after it if it is not the default branch.")
    card["repository"] = words[0]
    if len(words) == 2:
        card["base_branch"] = words[1]


def _extend(card: Card, name: str, entries: list[str]) -> None:
    card[name] = [*card.get(name, []), *(each for each in entries if each not in card.get(name, []))]


_WRITE: dict[str, Callable[[Card, str], None]] = {
    "goal": lambda card, answer: _label(card, GOAL, answer),
    "features": _write_features,
    "acceptance": _write_acceptance,
    "scope": lambda card, answer: _label(card, SCOPE, answer),
    "technical": lambda card, answer: _extend(card, "technical_requirements", _entries(answer)),
    "repository": _write_repository,
    "checks": lambda card, answer: None if answer == OWN_CHECKS else _extend(card, "checks", _entries(answer)),
    "risks": lambda card, answer: _extend(card, "technical_requirements", [RISKS + " ".join(answer.split())]),
}


def _ask_features(card: Card) -> Question:
    """Suggests the parts that the description lists. It recommends them only if the description reads like a list."""
    said = "\n".join(part for part in card.get("description", "").split("\n\n") if not part.startswith((GOAL, SCOPE)))
    parts = list(dict.fromkeys(part.strip(" .-*") for part in re.split(r"[.;:\n]|,| and ", said) if 1 <= len(part.split()) <= 8))[:5]
    listed = "; ".join(each[:1].upper() + each[1:] for each in parts if each)
    options = [ONE] if len(parts) < 2 else [listed, ONE] if len(parts) > 2 else [ONE, listed]
    return Question("Which parts does it have? Each part becomes its own ticket. Write one for each line.", tuple(options))


def _ask_checks(card: Card) -> Question:
    python = "python" in coverage.texts(card, "description", "technical_requirements").lower()
    return Question("Which commands must succeed on the merged result? Write one for each line.",
                    (OWN_CHECKS, "python3 -m unittest discover" if python else "make test"))


def _ask_technical(card: Card) -> Question:
    if card.get("repository"):
        return Question("Which technology must it use or avoid?", ("Use what the repository already uses", "Add no new dependency"))
    return Question("Which technology must it use or avoid?",
                    ("The simplest tools that work: standard library, no network service", "Python 3, standard library only",
                     "Plain HTML, CSS and JavaScript, without a build step"))


def _fixed(body: str, *options: str) -> Callable[[Card], Question]:
    return lambda card: Question(body, options)


_QUESTIONS: dict[str, Callable[[Card], Question]] = {
    "goal": _fixed("Who is it for, and what should it do for them?", "Myself: it saves me work that I do by hand today",
                   "A small team that uses it every day", "Anyone who finds it: it must explain itself"),
    "features": _ask_features,
    "acceptance": _fixed("How will you know that a feature is done? Write one criterion for each line.", EXAMPLE, TESTED),
    "scope": _fixed("What should it not do?", "Everything that no feature names", "Accounts, logins and permissions",
                    "A user interface: the command line is enough"),
    "technical": _ask_technical,
    "repository": _fixed("Where should it be built? Write owner/repo, a URL or a path, then the base branch.", FRESH),
    "checks": _ask_checks,
    "risks": _fixed("What must not go wrong?", "Nothing special: no personal data, nothing that cannot be undone",
                    "It must not break what works today", "It handles personal data: keep it local and out of logs"),
}
