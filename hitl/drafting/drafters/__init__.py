"""Drafters: from what was said to a card. A draft is a proposal: it is validated like a pasted card before anybody sees it.

    drafted = choose(config, "auto").draft(brief)"""
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Brief:
    """What is known of an idea. answers: (topic, question, answer), in order. card: the present one, if any."""

    name: str
    text: str
    answers: tuple[tuple[str, str, str], ...] = ()
    card: dict[str, Any] | None = None


@dataclass(frozen=True)
class Drafted:
    """card: not validated yet. by: the name of the drafter. fallback: why it was not the one that was asked for, one sentence, or None."""

    card: dict[str, Any]
    by: str
    fallback: str | None = None


class Drafter(Protocol):
    """draft() may take long and use the network, so call it outside of transactions; it raises nothing but bugs."""

    name: str

    def draft(self, brief: Brief) -> Drafted: ...
