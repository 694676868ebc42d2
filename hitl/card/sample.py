"""The sample project: a card whose commands come with the product. A first build is real, but needs no model and no network."""
import json
from functools import cache
from pathlib import Path
from typing import Any

from hitl.web import strict_json

PATH = Path(__file__).with_name("sample_card.json")


def card() -> dict[str, Any]:
    """A new copy of the card."""
    value: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return value


@cache
def sha256() -> str:
    return strict_json.sha256(card())
