"""What is remembered of a database, beside it: it goes when the database goes."""
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from engine.store.db import Database

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """At most `most` values of each database. For what never changes once it is there under its key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: WeakKeyDictionary[Database, dict[Hashable, Value]] = WeakKeyDictionary()

    def get(self, db: Database, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of this key, made by `make` where it is not known. Safe in any thread: at worst it is made twice."""
        values = self._values.setdefault(db, {})
        try:
            return values[key]
        except KeyError:
            made = make()
        if len(values) >= self._most:
            values.clear()
        values[key] = made
        return made
