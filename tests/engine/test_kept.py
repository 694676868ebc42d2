"""What is remembered of a database."""
import gc
import weakref
from pathlib import Path

from conftest import build

from engine.config import Config
from engine.store.db import Database, open_database
from engine.store.kept import Kept
from engine.tickets import usage
from engine.tickets.approved_card import approved_card


def test_a_value_is_made_once_for_each_database_and_key(db: Database, tmp_path: Path) -> None:
    kept, made, other = Kept[int](2), list[str](), open_database(tmp_path / "other.db", "OFF")

    def make(value: int) -> int:
        made.append(str(value))
        return value
    assert [kept.get(db, "a", lambda: make(1)), kept.get(db, "a", lambda: make(2)), kept.get(other, "a", lambda: make(3))] == [1, 1, 3]
    assert [kept.get(db, key, lambda: make(4)) for key in ("b", "c", "a")] == [4, 4, 4]  # there is room for two
    assert made == ["1", "3", "4", "4", "4"]
    other.close()


def test_what_is_kept_does_not_keep_a_closed_database(config: Config, tmp_path: Path) -> None:
    other = open_database(tmp_path / "other.db", "OFF")
    session = build(other, config, {"name": "Kept", "features": [{"title": "A"}]})
    assert approved_card(other, session)["name"] == "Kept" and usage.of_session(other, session)["runs"] == 0
    gone = weakref.ref(other)
    other.close()
    del other
    gc.collect()
    assert gone() is None
