"""python -m bench [--quick] [--only NAME] [--json FILE]: measures, and prints the table with each target met or missed."""
import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench import machine
from bench.peers import NAMES
from bench.rows import Row
from bench.sizes import FULL, QUICK, Size

FIGURES = ("claims", "contention", "insert", "dispatch", "real_runs", "histories", "environments", "end_to_end", "host_git", "websocket", "pages",
           "load", "vms")
WIDTHS = (84, 12, 12, 12, 12, 12, 8, 12)
HEAD = ("figure", "ours", "raw", *NAMES, "ratio", "target")


def run(size: Size, folder: Path, only: str | None = None) -> Iterator[Row]:
    """The rows as they come; each figure works in `folder`, which should be on the disk that the figures are to speak of."""
    for name in FIGURES:
        if only is None or only == name:
            place = folder / name
            place.mkdir(parents=True)
            yield from importlib.import_module(f"bench.{name}").measure(size, place)
            shutil.rmtree(place, ignore_errors=True)


def line(row: Row) -> str:
    """One line of the table."""
    sign, limit = row.target or ("", None)
    target = f"{sign} {_number(limit)}{'×' if row.ratio is not None else ''}" if limit is not None else ""
    mark = "" if row.met is None else ("met" if row.met else "MISSED") + (f" ({row.margin:.2f})" if row.margin and row.margin < 1e6 else "")
    cells = (row.name, f"{_number(row.ours)} {row.unit}".strip(), _number(row.raw), *(_number(row.peers.get(name)) for name in NAMES),
             f"{row.ratio:.2f}×" if row.ratio is not None else "", target)
    table = "  ".join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True)))
    return f"{table}  {mark.ljust(14)}{row.note}".rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _place() -> Path:
    """The system's temporary folder where that is on the same file system as this one; what a killed bench leaves then lies in nobody's way."""
    here, temporary = Path.cwd(), Path(tempfile.gettempdir())
    return temporary if temporary.stat().st_dev == here.stat().st_dev else here


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures what docs/performance.md promises.")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under 90 seconds; the full form takes 7 minutes on 2 idle cores")
    parser.add_argument("--only", choices=FIGURES, help="one figure alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--folder", type=Path, default=_place(), help="where to work; its file system is what is measured (default: this one's)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # an exception, so that what it made goes
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=options.folder))
    try:
        facts, since, rows = machine.described(folder), time.monotonic(), []
        print("\n".join(f"{name:24}{value}" for name, value in facts.items()))
        print("\n" + "  ".join(word.ljust(width) if n == 0 else word.rjust(width) for n, (word, width) in enumerate(zip(HEAD, WIDTHS, strict=True))))
        for row in run(QUICK if options.quick else FULL, folder, options.only):
            rows.append(row)
            print(line(row), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    missed = sum(row.met is False for row in rows)
    promised = sum(row.met is not None for row in rows)
    print(f"\n{promised - missed} of {promised} targets met, {time.monotonic() - since:.0f} s, load after {os.getloadavg()[0]:.2f}."
          " In brackets: how often better than the target (below 1: missed).")
    if options.json:
        found = [{**asdict(row), "met": row.met} for row in rows]
        options.json.write_text(json.dumps({"machine": facts, "rows": found}, ensure_ascii=False, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
