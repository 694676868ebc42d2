"""Secrets that the setup of an environment needs, such as a token for a registry. Nothing else gets one.

get() takes a secret from the environment of this process, by exactly its name, else from data/secrets.db, which only the server's user can read. A value that
was stored is never shown again. It is in no backup, event, log, job or argument."""
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from engine.errors import BadRequest, NotFound, Permanent, Unavailable

LEAST, MOST = 8, 16_000  # characters of a value: a shorter one could not be told from common words
FILE = "secrets.db"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_OURS = ("SWARM_", "GIT_", "LD_")  # names that the product or the loader use
_TABLE = "create table if not exists secrets (tenant_id text not null, name text not null, value text not null, primary key (tenant_id, name)) strict"


def get(data: Path, tenant: str, name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The value; None if nobody has set it. data: the data folder."""
    if not _NAME.fullmatch(name) or name.startswith(_OURS):
        return None
    if environment.get(name, "").strip():
        return environment[name]
    if not (data / FILE).exists():
        return None
    with _opened(data) as db:
        row = db.execute("select value from secrets where tenant_id = ? and name = ?", (tenant, name)).fetchone()
    return str(row[0]) if row else None


def all_of(data: Path, tenant: str, wanted: Sequence[str]) -> dict[str, str]:
    """{name: value} of the secrets that a setup names. Raises Permanent if one is missing or too short."""
    found = {name: get(data, tenant, name) for name in wanted}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        what = f"the secret {missing[0]}, which is" if len(missing) == 1 else f"the secrets {', '.join(missing)}, which are"
        raise Permanent(f"The setup needs {what} not set. Store each with PUT /api/secrets/<name>, or set an environment variable of that name for the "
                        "server and restart it. Then try again.")
    short = next((name for name, value in found.items() if len(str(value).strip()) < LEAST), None)
    if short:
        raise Permanent(f"The secret {short} has fewer than {LEAST} characters. It could not be found again in what the setup leaves, so it is not used. "
                        "Set a longer one.")
    return {name: str(value) for name, value in found.items()}


def names(data: Path, tenant: str) -> list[str]:
    """Names of the stored secrets."""
    if not (data / FILE).exists():
        return []
    with _opened(data) as db:
        return [row[0] for row in db.execute("select name from secrets where tenant_id = ? order by name", (tenant,))]


def put(data: Path, tenant: str, name: str, value: object) -> None:
    """Stores a secret, in place of one of the same name. Raises BadRequest."""
    if not _NAME.fullmatch(name) or name.startswith(_OURS):
        raise BadRequest(f"The name of a secret has up to 100 letters, digits and _, does not begin with a digit, and not with {' or '.join(_OURS)}.")
    if not isinstance(value, str) or len(value) > MOST or len(value.strip()) < LEAST or "\0" in value or not _is_text(value):
        raise BadRequest(f"value must be text of {LEAST} to {MOST:,} characters without NUL. A shorter secret could not be found again in what a setup leaves.")
    with _opened(data) as db:
        db.execute("insert into secrets (tenant_id, name, value) values (?, ?, ?) on conflict (tenant_id, name) do update set value = excluded.value",
                   (tenant, name, value))


def remove(data: Path, tenant: str, name: str) -> None:
    """Raises NotFound if none of this name is stored."""
    known = name in names(data, tenant)
    if known:
        with _opened(data) as db:
            known = db.execute("delete from secrets where tenant_id = ? and name = ?", (tenant, name)).rowcount > 0
    if not known:
        raise NotFound(f"No secret {name[:100]} is stored.")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half an emoji
        return False
    return True


@contextmanager
def _opened(data: Path) -> Iterator[sqlite3.Connection]:
    """The database, with one transaction. What is deleted or replaced is overwritten in the file. Raises Unavailable."""
    path = data / FILE
    try:
        data.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(path, 0o600)  # of a copy that someone put there
        with closing(sqlite3.connect(path, timeout=10)) as db, db:
            db.execute("pragma secure_delete = on")
            db.execute(_TABLE)
            yield db
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{path} cannot be used ({type(error).__name__}). Check the file and its disk. If it is damaged, remove it and store the secrets "
                          "again.") from None
