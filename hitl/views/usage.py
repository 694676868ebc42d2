"""The use of models, for pages, notes and JSON: the sums of engine/tickets/usage.py and single runs, in numbers and in words."""
from typing import Any

from engine.config import Config
from engine.jobs import NOTICE
from engine.store.db import Database
from engine.tickets import usage
from engine.tickets.approved_card import approved_card, limits_of
from hitl.web.filters import number, whole

KINDS = (("input", "In"), ("output", "Out"), ("cache_read", "From cache"), ("cache_write", "Into cache"))


def money_of(used: dict[str, Any]) -> float | None:
    """The cost; None if no price is known for anything that was used. It is only a part of the cost if `unpriced` is not 0."""
    money = used.get("money")
    if not isinstance(money, int | float) or not used.get("requests") or (used.get("unpriced") and not money):
        return None
    return float(money)


def told(used: dict[str, Any]) -> dict[str, Any]:
    """The use for JSON: money is null if no price is known."""
    return {**used, "money": money_of(used)}


def of_session(db: Database, config: Config, row: Any, card: Any, built: bool) -> dict[str, Any]:
    """The sum of a session with its active runs, and `budget`: {tokens, money, raises}; null means no limit. row: the session's row;
    card: the session's card, used if the build has not started."""
    summed = usage.with_live(db, config.data, row["id"], usage.of_session(db, row["id"]))
    tokens, money = limits_of(config, approved_card(db, row["id"]) if built else card, row["budget_raises"])
    currency = summed["currency"] or getattr(config.prices, "currency", "")
    return {**told(summed), "currency": currency, "budget": {"tokens": tokens or None, "money": money or None, "raises": row["budget_raises"]}}


def amount(money: float, currency: str) -> str:
    """'1.25 EUR', '0.0042 EUR'; without a currency '1.25 in money'."""
    shown = f"{money:,.2f}" if money >= 0.1 or not money else f"{money:.4f}"
    return f"{shown} {currency or 'in money'}"


def cost(used: dict[str, Any]) -> str:
    """The cost in words: '' if no price is known; it starts with 'at least' if some prices are missing."""
    money = money_of(used)
    return "" if money is None else ("at least " if used.get("unpriced") else "") + amount(money, _text(used.get("currency")))


def tokens(used: dict[str, Any]) -> str:
    """'12,345 tokens'. It starts with 'about' if a reply did not report its tokens."""
    return ("about " if used.get("estimated") else "") + number(whole(used.get("total")), "token")


def brief(used: dict[str, Any] | None) -> str:
    """'12,345 tokens · 0.12 EUR'; '' if no model was asked."""
    if not used or not used.get("requests"):
        return ""
    return " · ".join(part for part in (tokens(used), cost(used)) if part)


def line(used: dict[str, Any] | None) -> str:
    """'12,345 tokens (10,000 in, 2,000 out, 345 from cache), 0.12 EUR'."""
    if not used or not used.get("requests"):
        return ""
    kinds = ", ".join(f"{whole(used.get(name)):,} {label.lower()}" for name, label in KINDS if used.get(name))
    return ", ".join(part for part in (tokens(used) + (f" ({kinds})" if kinds else ""), cost(used)) if part)


def table(*columns: dict[str, Any] | None) -> list[tuple[str, list[str]]]:
    """[(row's name, a text for each column)]; [] if no model was asked."""
    given = [used or {} for used in columns]
    if not any(used.get("requests") for used in given):
        return []
    rows = [(label, [f"{whole(used.get(name)):,}" for used in given]) for name, label in KINDS if any(used.get(name) for used in given)]
    rows.append(("Tokens", [f"{whole(used.get('total')):,}" for used in given]))
    rows += [("Cost", [cost(used) or "–" for used in given])] if any(map(cost, given)) else []
    rows.append(("Requests", [f"{whole(used.get('requests')):,}" for used in given]))
    return rows + ([("Estimated", [f"{whole(used.get('estimated')):,}" for used in given])] if any(used.get("estimated") for used in given) else [])


def against(used: dict[str, Any]) -> list[str]:
    """For a session: ['12,345 of 50,000,000 tokens', '1.25 of 5 EUR'], with the limits that exist; [] if no model was asked."""
    if not used["requests"]:
        return []
    budget, money, currency = used["budget"], cost(used), used["currency"]
    said = [f"{used['total']:,} of {number(budget['tokens'], 'token')}" if budget["tokens"] else tokens(used)]
    if budget["money"]:
        said.append(f"{used['money'] or 0:,.2f} of {amount(budget['money'], currency)}")
    return said + ([money] if money and not budget["money"] else [])


def notice(used: dict[str, Any]) -> str:
    """A warning if a session has used 80 % of its budget or more; '' before."""
    budget = used["budget"]
    for spent, limit, said in ((used["total"], budget["tokens"], 0), (used["money"] or 0.0, budget["money"], -1)):
        if limit and spent >= limit:
            return f"The budget of this session is used up: {against(used)[said]}. A run that asks a model for more is stopped, and you are asked."
        if limit and spent >= NOTICE * limit:
            return (f"{100 * spent // limit:.0f} % of this session's budget is used: {against(used)[said]}. "
                    "When it is used up, runs are stopped, their work is kept, and you are asked.")
    return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
