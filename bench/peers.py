"""Other queues over one SQLite file, at the same durability. Those that are not installed are left out: pip install -e '.[bench]'."""
import importlib.util
import json
from pathlib import Path
from typing import Any, Protocol

NAMES = ("huey", "litequeue", "persist-queue")
PAYLOAD = json.dumps({"id": "R0000001", "title": "Feature 1", "description": "What it is to do"})


class Queue(Protocol):
    """put one, or take one and say that it is done; each step commits."""

    def put(self) -> None: ...
    def cycle(self) -> None: ...
    def close(self) -> None: ...


class Huey:
    """Taking deletes the row: one commit a cycle, and a crash loses what was taken."""

    def __init__(self, folder: Path, rows: int, synchronous: str) -> None:
        from huey.storage import SqliteStorage  # type: ignore[import-untyped]
        self._storage = SqliteStorage("bench", str(folder / "huey.db"))
        connection = self._storage.conn
        connection.execute("pragma synchronous = off")
        if rows:
            self.put()
            multiply(connection, "task", "queue, data, priority", "queue, data, priority", rows)
        connection.execute(f"pragma synchronous = {synchronous}")

    def put(self) -> None:
        self._storage.enqueue(PAYLOAD.encode())

    def cycle(self) -> None:
        if self._storage.dequeue() is None:
            raise RuntimeError("huey's queue is empty")

    def close(self) -> None:
        self._storage.close()


class LiteQueue:
    """pop locks the row, done marks it."""

    def __init__(self, folder: Path, rows: int, synchronous: str) -> None:
        from litequeue import LiteQueue as Storage  # type: ignore[import-untyped]
        self._queue = Storage(str(folder / "litequeue.db"))
        connection = self._queue.conn
        connection.execute("pragma synchronous = off")
        if rows:
            self.put()
            multiply(connection, "Queue", "data, message_id, status, in_time, lock_time, done_time",
                     "data, message_id || printf('-%07d', n), status, in_time + n, lock_time, done_time", rows)
        connection.execute(f"pragma synchronous = {synchronous}")

    def put(self) -> None:
        self._queue.put(PAYLOAD)

    def cycle(self) -> None:
        message = self._queue.pop()
        if message is None:
            raise RuntimeError("litequeue's queue is empty")
        self._queue.done(message.message_id)

    def close(self) -> None:
        self._queue.close()


class PersistQueue:
    """get marks the row, ack marks it again."""

    def __init__(self, folder: Path, rows: int, synchronous: str) -> None:
        from persistqueue import SQLiteAckQueue
        path = str(folder / "persist-queue")
        if rows:
            first: Any = SQLiteAckQueue(path)
            first.put(PAYLOAD)
            first._putter.execute("pragma synchronous = off")
            multiply(first._putter, "ack_queue_default", "data, timestamp, status", "data, timestamp, status", rows)
            first._putter.commit()
            first.close()
        self._queue: Any = SQLiteAckQueue(path)
        putter: Any = self._queue._putter
        for connection in (putter, self._queue._getter):
            connection.execute(f"pragma synchronous = {synchronous}")

    def put(self) -> None:
        self._queue.put(PAYLOAD)

    def cycle(self) -> None:
        self._queue.ack(id=self._queue.get(block=False, raw=True)["pqid"])

    def close(self) -> None:
        self._queue.close()


def multiply(connection: Any, table: str, columns: str, values: str, rows: int) -> None:
    """So many copies of the row that the peer has put there itself."""
    connection.execute(f"insert into {table} ({columns}) with recursive numbers (n) as"
                       f" (select 1 union all select n + 1 from numbers where n + 1 < {rows})"
                       f" select {values} from numbers, (select * from {table} limit 1)")


def peers(folder: Path, rows: int, synchronous: str) -> dict[str, Queue]:
    """{name: a queue with so many rows}, of those that are installed."""
    kinds: dict[str, tuple[str, Any]] = {"huey": ("huey", Huey), "litequeue": ("litequeue", LiteQueue),
                                         "persist-queue": ("persistqueue", PersistQueue)}
    found: dict[str, Queue] = {}
    for name, (module, kind) in kinds.items():
        if importlib.util.find_spec(module):
            place = folder / f"{name}-{synchronous}-{rows}"
            place.mkdir()
            found[name] = kind(place, rows, synchronous)
    return found
