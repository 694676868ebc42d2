"""What is asked about each topic, with suggested answers, and how an answer is written into the card, and taken out of it again."""
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
MOST_ENTRIES = 100  # of one answer


def question(topic: str, card: Card) -> Question:
    """What to ask about a topic that this card lacks."""
    return _QUESTIONS[topic](card)


def write(topic: str, card: Card, answer: str) -> Card:
    """A changed copy of the card with the answer in it. Raises BadRequest for an answer that cannot be read."""
    changed = copy.deepcopy(card)
    _WRITE[topic](changed, answer.strip())
    return changed


def take_out(topic: str, card: Card, answer: str) -> Card:
    """A changed copy without what write() put in for this answer, as far as it is still there."""
    changed = copy.deepcopy(card)
    gone = set(_entries(answer))
    if topic in ("goal", "scope"):
        return changed  # writing another answer replaces the paragraph where it stands
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
    """One entry a line, or between semicolons; list marks are taken off."""
    parts = [re.sub(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+", "", part).strip() for part in re.split(r"[\n;]", answer)]
    found = list(dict.fromkeys(part for part in parts if part))
    if not 1 <= len(found) <= MOST_ENTRIES:
        raise BadRequest(f"An answer has 1 to {MOST_ENTRIES} entries, one a line.")
    return found


def _label(card: Card, label: str, text: str) -> None:
    """The paragraph of the description that begins with this label is replaced where it stands, else appended."""
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
    """The one feature of a card of which nobody said anything: at most an answer of ours gave it a criterion."""
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
    """owner/repo, a URL or a path, then the base branch, if any. Whether it may be used is the card's validation to say."""
    if answer == FRESH:
        return
    words = re.sub(r"[,;]|\b(?:on|branch|at)\b", " ", answer).split()
    if not 1 <= len(words) <= 2:
        raise BadRequest("Answer with owner/repo, a URL or a path, and the base branch after it, if it is not the default one.")
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
    """What the description lists is suggested; it is recommended only where it reads like a list."""
    said = "\n".join(part for part in card.get("description", "").split("\n\n") if not part.startswith((GOAL, SCOPE)))
    parts = list(dict.fromkeys(part.strip(" .-*") for part in re.split(r"[.;:\n]|,| and ", said) if 1 <= len(part.split()) <= 8))[:5]
    listed = "; ".join(each[:1].upper() + each[1:] for each in parts if each)
    options = [ONE] if len(parts) < 2 else [listed, ONE] if len(parts) > 2 else [ONE, listed]
    return Question("Which parts is it made of? Each becomes a ticket of its own. One a line.", tuple(options))


def _ask_checks(card: Card) -> Question:
    python = "python" in coverage.texts(card, "description", "technical_requirements").lower()
    return Question("Which commands must succeed on the merged whole? One a line.",
                    (OWN_CHECKS, "python3 -m unittest discover" if python else "make test"))


def _ask_technical(card: Card) -> Question:
    if card.get("repository"):
        return Question("What must it be built with, or without?", ("Follow what the repository uses already", "Add no new dependency"))
    return Question("What must it be built with, or without?",
                    ("The plainest means that do it: standard library, no network service", "Python 3, standard library only",
                     "Plain HTML, CSS and JavaScript, without a build step"))


def _fixed(body: str, *options: str) -> Callable[[Card], Question]:
    return lambda card: Question(body, options)


_QUESTIONS: dict[str, Callable[[Card], Question]] = {
    "goal": _fixed("Who is it for, and what shall it do for them?", "Myself: it saves me work that I do by hand today",
                   "A small team that uses it every day", "Anybody who finds it: it must explain itself"),
    "features": _ask_features,
    "acceptance": _fixed("How will you know that a feature is done? One criterion a line.", EXAMPLE, TESTED),
    "scope": _fixed("What shall it not do?", "Whatever no feature names", "Accounts, logins and permissions", "A user interface: the command line is enough"),
    "technical": _ask_technical,
    "repository": _fixed("Where shall it be built? owner/repo, a URL or a path, then the base branch.", FRESH),
    "checks": _ask_checks,
    "risks": _fixed("What could go wrong, and must not?", "Nothing special: no personal data, nothing that cannot be undone",
                    "It must not break what works today", "It handles personal data: keep it local and out of logs"),
}
