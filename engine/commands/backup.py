"""`make backup` and `make restore`: a copy of the database that is whole at every moment, while the server runs; and the way back."""
import argparse
import os
import sqlite3
import sys
import time
from pathlib import Path

from engine.config import Config
from engine.errors import Refused
from engine.files import fsync_folder
from engine.host.processes import take_lock
from engine.store.db import open_database


def backup(config: Config, target: Path | None = None) -> Path:
    """VACUUM INTO a file beside the target, fsync, rename: the target is whole or not there. -> the target.

    Default: data/backups/swarm-<UTC time>.db. The repositories under data/repos are not in it. Raises Refused."""
    target = target or config.data / "backups" / time.strftime("swarm-%Y%m%dT%H%M%SZ.db", time.gmtime())
    if not config.database.exists():
        raise Refused(f"There is no database at {config.database}.")
    if target.exists():
        raise Refused(f"{target} exists already.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    connection = sqlite3.connect(config.database, timeout=10)
    try:
        connection.execute("vacuum into ?", (str(part),))
        check(part)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.rename(part, target)
        fsync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise Refused(f"The backup could not be written: {error}. {target} was not made.") from error
    finally:
        connection.close()
        part.unlink(missing_ok=True)
    return target


def restore(config: Config, source: Path) -> Path:
    """Puts a backup in the place of the database; the old one is kept beside it. -> where it is kept. Raises Refused.

    No server may be running on the data folder. Runs that began after the backup are unknown afterwards; what they merged stays merged."""
    lock = take_lock(config.data / "engine.lock")
    if lock is None:
        raise Refused(f"A server is running on {config.data}: stop it first.")
    try:
        check(source)
        kept = config.database.with_name(time.strftime("swarm-before-restore-%Y%m%dT%H%M%SZ.db", time.gmtime()))
        if config.database.exists():
            open_database(config.database).execute("pragma wal_checkpoint(truncate)")
            os.rename(config.database, kept)
        for suffix in ("-wal", "-shm"):
            config.database.with_name(config.database.name + suffix).unlink(missing_ok=True)
        part = config.database.with_name("swarm.db.part")
        part.write_bytes(source.read_bytes())
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.rename(part, config.database)
        fsync_folder(config.data)
        open_database(config.database).close()
        return kept
    finally:
        os.close(lock)


def check(path: Path) -> None:
    """Raises Refused unless the file is a sound SQLite database."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            answer = connection.execute("pragma integrity_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise Refused(f"{path} is not sound: {answer}.")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.backup", description="Backs up the database, or restores it with --restore.")
    parser.add_argument("file", nargs="?", type=Path, help="where to write it; default: data/backups/swarm-<time>.db")
    parser.add_argument("--restore", action="store_true", help="put FILE in the place of the database; the old one is kept")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env()
        if not arguments.restore:
            print(f"Wrote {backup(config, arguments.file)}")
        elif arguments.file is None:
            raise Refused("Name the file to restore: make restore FILE=data/backups/….db")
        else:
            print(f"Restored {arguments.file}; the database before it is {restore(config, arguments.file)}")
    except Refused as refused:
        print(refused.sentence, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
