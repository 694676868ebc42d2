"""`make backup` and `make restore`: makes a complete copy of the database while the server runs, and puts a copy back."""
import argparse
import contextlib
import os
import sqlite3
import sys
import time
from pathlib import Path

from engine.config import Config
from engine.errors import Refused
from engine.files import fsync_folder
from engine.host.processes import take_lock
from engine.store.copies import check, copy_whole, sync
from engine.store.look import look


def backup(config: Config, target: Path | None = None) -> Path:
    """Makes a complete copy of the database, or none. -> the target.

    Default: data/backups/swarm-<UTC time>.db. It does not contain the repositories under data/repos. Raises Refused."""
    target = target or config.data / "backups" / time.strftime("swarm-%Y%m%dT%H%M%SZ.db", time.gmtime())
    if not config.database.exists():
        raise Refused(f"There is no database at {config.database}. Set SWARM_DATA to the data folder of the server.")
    copy_whole(config.database, target)
    return target


def restore(config: Config, source: Path) -> Path:
    """Replaces the database with a backup. The old database, of any version, is kept next to it. -> its path. Raises Refused.

    No server may run on the data folder. The backup keeps its version: the program of that version can open it,
    and this program migrates it at the next start. Runs that started after the backup are unknown afterwards; their merges stay merged."""
    lock = take_lock(config.data / "engine.lock")
    if lock is None:
        raise Refused(f"A server is running on {config.data}. Stop it first.")
    try:
        check(source)
        if look(source).form == "new":
            raise Refused(f"{source} is empty.")
        kept = config.database.with_name(time.strftime("swarm-before-restore-%Y%m%dT%H%M%SZ.db", time.gmtime()))
        if config.database.exists():
            _write_back(config.database)
        part = config.database.with_name("swarm.db.part")
        part.write_bytes(source.read_bytes())
        sync(part)
        for suffix in ("", "-wal", "-shm"):
            if _beside(config.database, suffix).exists():
                os.rename(_beside(config.database, suffix), _beside(kept, suffix))
        os.rename(part, config.database)
        fsync_folder(config.data)
        return kept
    finally:
        os.close(lock)


def _write_back(database: Path) -> None:
    """Writes the write-ahead log into the database, so that it is one file. For a damaged database two files are moved."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.commands.backup", description="Backs up the database, or restores it with --restore.")
    parser.add_argument("file", nargs="?", type=Path, help="file to write, or to restore; default: data/backups/swarm-<time>.db")
    parser.add_argument("--restore", action="store_true", help="replace the database with FILE; the old one is kept")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env()
        if not arguments.restore:
            print(f"Wrote {backup(config, arguments.file)}")
        elif arguments.file is None:
            raise Refused("Name the file to restore: make restore FILE=data/backups/….db")
        else:
            print(f"Restored {arguments.file}. The database before it is kept as {restore(config, arguments.file)}")
    except Refused as refused:
        print(refused.sentence, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
