"""Checks of a card that depend on this installation: an allowed repository, a possible branch name, and a budget that can be counted."""
import re
from collections.abc import Iterator
from typing import Any

from engine.config import Config
from engine.errors import BadRequest
from engine.git.source import validate_source
from hitl.card.text import Problem

_BRANCH = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\x00-\x20~^:?*\[\\\x7f]+(?<![/.])")


def place_problems(card: dict[str, Any], config: Config) -> Iterator[Problem]:
    """The problems that this installation has with the card."""
    repository, branch = card.get("repository"), card.get("base_branch")
    if isinstance(repository, str) and repository:
        try:
            validate_source(repository, config.repository_roots, config.repository_url, config.repository_protocols)
        except BadRequest as error:
            yield {"path": "repository", "message": error.sentence}
    if isinstance(branch, str) and branch and not _BRANCH.fullmatch(branch):
        yield {"path": "base_branch", "message": "A git branch cannot have this name."}
    if isinstance(card.get("budget"), dict) and isinstance(card["budget"].get("money"), int | float) and not config.prices:
        yield {"path": "budget.money", "message": "This installation has no price table (SWARM_PRICES), so it cannot count money. Limit the tokens instead."}
