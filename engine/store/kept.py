"""Values kept in memory for each database; they are freed together with the database."""
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from engine.store.db import Database

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Keeps at most `most` values for each database. Only for values that never change under their key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: WeakKeyDictionary[Database, dict[Hashable, Value]] = WeakKeyDictionary()

    def get(self, db: Database, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of this key; `make` makes it if it is not kept. Safe in any thread: at worst it is made twice."""
        values = self._values.setdefault(db, {})
        try:
            return values[key]
        except KeyError:
            made = make()
        if len(values) >= self._most:
            values.clear()
        values[key] = made
        return made
