"""What the server does to answer for a board."""
import time
from collections.abc import Iterator
from pathlib import Path

from app import create_app
from bench.end_to_end import begin
from bench.rows import Row, interleaved
from bench.sizes import Size
from engine.config import Config


def measure(size: Size, folder: Path) -> Iterator[Row]:
    config = Config(data=folder / "pages", runtime="fake")
    app = create_app(config, testing=True)
    db = app.extensions["swarm"].db
    session = begin(db, config, size.board)
    client = app.test_client()
    paths = {"page": f"/sessions/{session}", "JSON": f"/api/hitl/{session}/tickets"}
    found = interleaved({kind: lambda path=path: _answer(client, path) for kind, path in paths.items()}, size.times * 3)  # type: ignore[misc]
    yield Row(f"board of {size.board:,} tickets, server time", "ms", found["page"], target=("≤", 30.0))
    yield Row("the same tickets as JSON, server time", "ms", found["JSON"])
    db.close()


def _answer(client: object, path: str) -> float:
    since = time.perf_counter()
    answer = client.get(path)  # type: ignore[attr-defined]
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return (time.perf_counter() - since) * 1000
