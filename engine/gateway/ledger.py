"""The budget of a run and of its session: limits, reservations and spending.

Each run of a session writes its own file in the session's folder, under one lock; the sum over the files is what the session has
spent or reserved at this moment. A runner that is killed leaves its file, and the engine
reads the spending of a lost run from it."""
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from engine.gateway.http1 import Refusal
from engine.gateway.prices import Prices, cost, price_of
from engine.gateway.shapes import Tokens
from engine.jobs import NOTICE, Budget

UNTOLD_OUTPUT = 4096     # tokens reserved for a reply if its request has no limit
MODELS = 50              # named in the usage; more models are summed as one


@dataclass
class Spent:
    requests: int = 0
    estimated: int = 0       # of these: replies without usage
    tokens: Tokens = Tokens()
    money: float = 0.0

    def add(self, tokens: Tokens, money: float, estimated: bool) -> None:
        self.requests += 1
        self.estimated += estimated
        self.tokens = Tokens(*(a + b for a, b in zip(self.tokens, tokens, strict=True)))
        self.money += money

    def as_json(self) -> dict[str, Any]:
        return {"requests": self.requests, "estimated": self.estimated, **self.tokens._asdict(), "total": sum(self.tokens),
                "money": round(self.money, 6)}


@dataclass(eq=False)
class Entry:
    """One request in progress. reserved: its largest cost; live: its cost so far."""

    model: str
    price: dict[str, float] | None
    reserved: Tokens
    live: Tokens = Tokens()

    def cost(self, tokens: Tokens) -> float:
        return cost(self.price, tokens) if self.price else 0.0


class Amount(NamedTuple):
    tokens: int = 0
    money: float = 0.0


@dataclass
class Ledger:
    """The ledger of one run. folder: the session's. Any thread may use it."""

    budget: Budget
    prices: Prices
    folder: Path
    run: str
    all: Spent = field(default_factory=Spent)
    models: dict[str, Spent] = field(default_factory=dict)
    unpriced: set[str] = field(default_factory=set)
    notices: list[str] = field(default_factory=list)
    over: str | None = None          # the sentence, after a limit was reached
    refused: int = 0                 # requests that were refused or ended because of that

    def __post_init__(self) -> None:
        self._open: set[Entry] = set()
        self._noticed: set[tuple[str, str]] = set()
        self._others = Amount()      # spent and reserved by the other runs of the session, when last looked at
        self._thread_lock = threading.Lock()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def reserve(self, model: str, prompt: int, most: int | None) -> Entry:
        """Reserves a request. Raises Refusal when the budget is used up, when requests in progress reserve the rest, or when money is limited and the
        model has no price."""
        price = price_of(self.prices, model)
        if price is None and (self.budget.run_money or self.budget.session_money):
            raise Refusal(403, "no_price", f"The model {model!r} has no price, but this run has a limit in money. "
                          "Add it to SWARM_PRICES.")
        entry = Entry(model, dict(price) if price else None, Tokens(prompt, UNTOLD_OUTPUT if most is None else most))
        with self._locked():
            self._look()
            if self.over:
                self.refused += 1
                raise Refusal(402, "over_budget", f"{self.over} The gateway answers no more requests to a model.")
            if self._passed(self._spent(reserved=True)):
                raise Refusal(429, "budget_reserved", "Requests in progress reserve the rest of the budget. Try again when they are done.")
            self._open.add(entry)
            self._save()
        return entry

    def update(self, entry: Entry, live: Tokens) -> bool:
        """Updates a streaming reply. -> True if it may continue. Only requests that start or end read the spending of other runs."""
        with self._thread_lock:
            entry.live = live
            self._judge()
            self.refused += self.over is not None
            return self.over is None

    def settle(self, entry: Entry, tokens: Tokens, estimated: bool) -> None:
        """Ends a request: its real use replaces the reservation. No tokens: it cost nothing. Only the first call counts."""
        with self._locked():
            if entry not in self._open:
                return
            self._open.discard(entry)
            if sum(tokens):
                name = entry.model if entry.model in self.models or len(self.models) < MODELS else "(others)"
                for spent in (self.all, self.models.setdefault(name, Spent())):
                    spent.add(tokens, entry.cost(tokens), estimated)
                if entry.price is None:
                    self.unpriced.add(name)
            self._look()
            self._save()

    @property
    def is_open(self) -> bool:
        """A request is under way."""
        with self._thread_lock:
            return bool(self._open)

    def as_json(self) -> dict[str, Any]:
        with self._thread_lock:
            return self._json()

    def close(self) -> None:
        os.close(self._lock)

    def _json(self) -> dict[str, Any]:
        return {**self.all.as_json(), "models": {name: spent.as_json() for name, spent in self.models.items()},
                "unpriced": sorted(self.unpriced), "currency": self.budget.currency, "notices": list(self.notices), "over_budget": self.over}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _look(self) -> None:
        held = [found for path in self.folder.glob("*.json") if path.stem != self.run and (found := read_held(path))]
        self._others = Amount(max(self.budget.session_spent_tokens, sum(each.tokens for each in held)),
                              max(self.budget.session_spent_money, sum(each.money for each in held)))
        self._judge()

    def _spent(self, reserved: bool = False) -> Amount:
        """By this run so far; with what is reserved, where that is more."""
        under_way = [max(entry.live, entry.reserved, key=sum) if reserved else entry.live for entry in self._open]
        return Amount(sum(self.all.tokens) + sum(map(sum, under_way)),
                      self.all.money + sum(entry.cost(tokens) for entry, tokens in zip(self._open, under_way, strict=True)))

    def _limits(self, own: Amount) -> list[tuple[str, str, float, float]]:
        """(whose, of what, used, limit) for each limit that there is."""
        budget, whole = self.budget, Amount(own.tokens + self._others.tokens, own.money + self._others.money)
        rows = (("run", "tokens", own.tokens, budget.run_tokens), ("run", "money", own.money, budget.run_money),
                ("session", "tokens", whole.tokens, budget.session_tokens), ("session", "money", whole.money, budget.session_money))
        return [row for row in rows if row[3]]

    def _passed(self, own: Amount) -> bool:
        return any(used >= limit for _, _, used, limit in self._limits(own))

    def _judge(self) -> None:
        for whose, what, used, limit in self._limits(self._spent()):
            amount = f"{used:,.0f} of {limit:,} tokens" if what == "tokens" else f"{used:.2f} of {limit:g} {self.budget.currency or 'in money'}"
            if used >= limit and self.over is None:
                self.over = f"The budget of this {whose} is used up ({amount})."
            if used > NOTICE * limit and (whose, what) not in self._noticed:
                self._noticed.add((whose, what))
                self.notices.append(f"The {whose} has used more than {100 * NOTICE:.0f} % of its budget: {amount}.")

    def _save(self) -> None:
        own, reserved = self._spent(), self._spent(reserved=True)
        held = {**self._json(), "held_tokens": max(own.tokens, reserved.tokens), "held_money": max(own.money, reserved.money)}
        temporary = self.folder / f"{self.run}.tmp"
        temporary.write_text(json.dumps(held), encoding="utf-8")
        os.rename(temporary, self.folder / f"{self.run}.json")


def read_held(path: Path) -> Amount | None:
    """What a run has spent or reserved. None where there is no such file any more."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Amount(held["held_tokens"], held["held_money"])
