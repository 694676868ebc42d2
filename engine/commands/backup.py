"""`make backup` and `make restore`: makes a complete copy of the database while the server runs, and puts a copy back."""
import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine import secrets
from engine.config import Config
from engine.errors import Refused
from engine.host.processes import take_lock
from engine.store.copies import copy_whole
from engine.store.damage import notices, secure
from engine.store.place import held, make_folder
from engine.store.restoring import put_back, settle


def backup(config: Config, target: Path | None = None) -> Path:
    """Makes a complete copy of the database, or none. -> the target.

    Default: data/backups/swarm-<UTC time>.db. It does not contain the repositories under data/repos, and no secrets. Raises Refused."""
    target = target or config.data / "backups" / time.strftime("swarm-%Y%m%dT%H%M%SZ.db", time.gmtime())
    if not config.database.exists():
        raise Refused(f"There is no database at {config.database}. Set SWARM_DATA to the data folder of the server.")
    with held(config.data):
        secure(config.database)  # the copying opens the database, and then nobody can see any more what its log has lost
    copy_whole(config.database, target)
    return target


def restore(config: Config, source: Path, say: Callable[[str], object] = print) -> Path | None:
    """Replaces the database with a backup. -> where the database before it is kept, or None if there was none. Raises Refused.

    say: is told what became of an earlier restore that was stopped halfway. The old database, of any version and in any state, is kept.
    No server may run on the data folder. The backup keeps its version: the program of that version can open it,
    and this program migrates it at the next start. Runs that started after the backup are unknown afterwards; their merges stay merged."""
    make_folder(config.database)
    lock = take_lock(config.data / "engine.lock")
    if lock is None:
        raise Refused(f"A server is running on {config.data}. Stop it first.")
    try:
        with held(config.data):
            earlier = settle(config.database)
            if earlier:
                say(earlier)
            return put_back(config.database, source)
    finally:
        os.close(lock)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.commands.backup", description="Backs up the database, or restores it with --restore.")
    parser.add_argument("file", nargs="?", type=Path, help="file to write, or to restore; default: data/backups/swarm-<time>.db")
    parser.add_argument("--restore", action="store_true", help="replace the database with FILE; the old one is kept")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env()
        if not arguments.restore:
            print(f"Wrote {backup(config, arguments.file)}")
            if (config.data / secrets.FILE).exists():
                print(f"It has no secrets. {config.data / secrets.FILE} has them; store them again where you restore it.", file=sys.stderr)
            for sentence in notices(config.data):
                print(sentence, file=sys.stderr)
        elif arguments.file is None:
            raise Refused("Name the file to restore: make restore FILE=data/backups/….db")
        else:
            kept = restore(config, arguments.file)
            print(f"Restored {arguments.file}." + (f" The database before it is kept as {kept}" if kept else ""))
    except Refused as refused:
        print(refused.sentence, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
