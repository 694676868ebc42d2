"""Tokens to money. A price table is a JSON object: model -> {"input", "output", "cache_read", "cache_write"}, per million tokens.

A name may end with `*` and is then for every model that begins so; the longest name wins. The table's key
"currency", a text such as EUR, names the currency."""
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.gateway.shapes import Tokens

KINDS = ("input", "output", "cache_read", "cache_write")
Prices = Mapping[str, Mapping[str, float]]


class PriceTable(dict[str, dict[str, float]]):
    """{model: its prices}; currency: '' where the table does not name one."""

    currency: str = ""


def parse_prices(text: str) -> PriceTable:
    """Parses JSON, or a file with JSON. Raises ValueError, which says what is allowed."""
    found = PriceTable()
    if not text:
        return found
    try:
        table = json.loads(text if text.startswith("{") else Path(text).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"a JSON object or a file with one ({error.strerror})") from None
    except (ValueError, RecursionError):
        table = None
    found.currency = table.pop("currency", "") if isinstance(table, dict) else ""
    if not isinstance(table, dict) or not _is_currency(found.currency) or \
            not all(isinstance(price, dict) and price and _is_price(price) for price in table.values()):
        raise ValueError('a JSON object like {"currency": "EUR", "model-*": {"input": 3, "output": 15}}, prices per million tokens'
                         f' for any of {", ".join(KINDS)}')
    found.update({name: {kind: float(value) for kind, value in price.items()} for name, price in table.items()})
    return found


def _is_currency(name: object) -> bool:
    return isinstance(name, str) and len(name) <= 8 and name.isprintable() and name == name.strip()


def _is_price(price: dict[str, Any]) -> bool:
    return all(kind in KINDS and isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value)
               for kind, value in price.items())


def price_of(prices: Prices, model: str) -> Mapping[str, float] | None:
    """The price of a model, or None. Cache reads and writes cost as much as input if the table has no price for them."""
    if model in prices:
        return prices[model]
    best = max((name for name in prices if name.endswith("*") and model.startswith(name[:-1])), key=len, default=None)
    return None if best is None else prices[best]


def cost(price: Mapping[str, float], tokens: Tokens) -> float:
    own = price.get("input", 0.0)
    rates = (own, price.get("output", 0.0), price.get("cache_read", own), price.get("cache_write", own))
    return sum(rate * count for rate, count in zip(rates, tokens, strict=True)) / 1_000_000
