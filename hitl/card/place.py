"""Where a card says that it is built: a repository that may be used here, a name that a branch can have, money that can be counted."""
import re
from collections.abc import Iterator
from typing import Any

from engine.config import Config
from engine.errors import BadRequest
from engine.git.source import validate_source
from hitl.card.text import Problem

_BRANCH = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\x00-\x20~^:?*\[\\\x7f]+(?<![/.])")


def place_problems(card: dict[str, Any], config: Config) -> Iterator[Problem]:
    """What this installation refuses."""
    repository, branch = card.get("repository"), card.get("base_branch")
    if isinstance(repository, str) and repository:
        try:
            validate_source(repository, config.repository_roots, config.repository_url, config.repository_protocols)
        except BadRequest as error:
            yield {"path": "repository", "message": error.sentence}
    if isinstance(branch, str) and branch and not _BRANCH.fullmatch(branch):
        yield {"path": "base_branch", "message": "This is not a name that a git branch can have."}
    if isinstance(card.get("budget"), dict) and isinstance(card["budget"].get("money"), int | float) and not config.prices:
        yield {"path": "budget.money", "message": "This installation has no price table (SWARM_PRICES), so money cannot be counted: limit the tokens."}
