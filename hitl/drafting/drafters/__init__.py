"""Drafters turn a conversation into a card. A draft is a proposal and is validated like a pasted card before anyone sees it.

    drafted = choose(config, "auto").draft(brief)"""
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Brief:
    """Everything known about an idea. answers: (topic, question, answer), in order. card: the current card, or None.
    assumed: the topics that the person skipped, so that the answer is an assumption."""

    name: str
    text: str
    answers: tuple[tuple[str, str, str], ...] = ()
    card: dict[str, Any] | None = None
    assumed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Drafted:
    """card: not validated yet. by: the name of the drafter. fallback: one sentence why another drafter was used than the chosen one, or None."""

    card: dict[str, Any]
    by: str
    fallback: str | None = None


class Drafter(Protocol):
    """draft() may take long and use the network, so call it outside of transactions. It raises no expected errors."""

    name: str

    def draft(self, brief: Brief) -> Drafted: ...
