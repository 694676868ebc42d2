"""Secrets: who gets them, where they are kept, and that nothing of them stays behind."""
import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from runner_bench import INTEGRATION, Bench, bench_of, log_of

from engine import secrets
from engine.commands.backup import backup
from engine.config import Config
from engine.environments import layers, leaks
from engine.errors import BadRequest, NotFound, Permanent, Unavailable
from engine.ground import Ground, Setup
from engine.jobs import Result
from engine.store.db import Database

VALUE = "npm_s3cret/value+of&a=token"


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


def set_up(bench: Bench, *commands: str) -> tuple[Result, Path]:
    """A setup that names NPM_TOKEN, started as the engine starts it."""
    setup = Setup({"setup": list(commands), "secrets": ["NPM_TOKEN"]}, str(bench.repository.head(f"refs/heads/{INTEGRATION}")), tenant="default")
    return bench.run_with_keys(bench.job(kind="setup", setup=setup), Config(data=bench.folder))


def everywhere(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != secrets.FILE)


def test_a_secret_comes_from_the_environment_or_from_its_file_and_is_listed_by_name_alone(tmp_path: Path) -> None:
    assert secrets.get(tmp_path, "default", "NPM_TOKEN", {}) is None and secrets.names(tmp_path, "default") == []
    secrets.put(tmp_path, "default", "NPM_TOKEN", VALUE)
    assert secrets.get(tmp_path, "default", "NPM_TOKEN", {}) == VALUE
    assert secrets.get(tmp_path, "default", "NPM_TOKEN", {"NPM_TOKEN": "of the operator"}) == "of the operator"
    assert secrets.get(tmp_path, "other", "NPM_TOKEN", {}) is None and secrets.names(tmp_path, "other") == []
    assert secrets.get(tmp_path, "default", "SWARM_OPENAI_KEY", {"SWARM_OPENAI_KEY": VALUE}) is None, "keys of the product are none"
    assert stat.S_IMODE((tmp_path / secrets.FILE).stat().st_mode) == 0o600
    secrets.put(tmp_path, "default", "NPM_TOKEN", "another value")
    assert secrets.names(tmp_path, "default") == ["NPM_TOKEN"] and VALUE.encode() not in (tmp_path / secrets.FILE).read_bytes()
    secrets.remove(tmp_path, "default", "NPM_TOKEN")
    with pytest.raises(NotFound):
        secrets.remove(tmp_path, "default", "NPM_TOKEN")


@pytest.mark.parametrize(("name", "value"), [("1A", VALUE), ("A B", VALUE), ("SWARM_X", VALUE), ("", VALUE), ("A" * 101, VALUE), ("A", "tooshrt"),
                                             ("A", 12345678), ("A", None), ("A", "x" * 16_001), ("A", "with\0nul and more"), ("A", "half an emoji \ud83d")])
def test_a_name_or_a_value_that_cannot_be_used_is_refused_without_the_value(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        secrets.put(tmp_path, "default", name, value)
    assert str(value) not in caught.value.sentence or value is None
    assert secrets.names(tmp_path, "default") == []


def test_a_damaged_file_of_secrets_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / secrets.FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(Unavailable, match=r"secrets.db cannot be used .* store the secrets again"):
        secrets.put(tmp_path, "default", "NPM_TOKEN", VALUE)


def test_a_backup_has_no_secrets_and_says_so(db: Database, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.commands.backup import main

    secrets.put(config.data, "default", "NPM_TOKEN", VALUE)
    assert VALUE.encode() not in backup(config).read_bytes()
    monkeypatch.setenv("SWARM_DATA", str(config.data))
    assert main([str(config.data / "copy.db")]) == 0
    assert "It has no secrets." in capsys.readouterr().err


def test_a_missing_secret_is_named_before_anything_runs(bench: Bench) -> None:
    with pytest.raises(Permanent, match=r"needs the secret NPM_TOKEN, which is not set. Store each with PUT /api/secrets/<name>"):
        set_up(bench, "true")
    secrets.put(bench.folder, "default", "OTHER", VALUE)
    with pytest.raises(Permanent, match="the secrets NPM_TOKEN, TWO, which are"):
        secrets.all_of(bench.folder, "default", ("NPM_TOKEN", "TWO", "OTHER"))


def test_setup_alone_has_the_secret_and_nothing_of_it_stays(bench: Bench) -> None:
    secrets.put(bench.folder, "default", "NPM_TOKEN", VALUE)
    result, folder = set_up(bench, "test \"$NPM_TOKEN\" = \"$(cat \"$SWARM_SECRETS/NPM_TOKEN\")\"; echo ${#NPM_TOKEN} > length",
                            "case $SWARM_SECRETS in $HOME*|$SWARM_WORK*|/in*|/out*) exit 9;; esac; stat -f -c %T $SWARM_SECRETS | grep tmpfs",
                            "echo the token is $NPM_TOKEN; printf %s $NPM_TOKEN | base64; echo shown")
    assert result.outcome == "ok", (result.reason, log_of(folder))
    log = log_of(folder)
    assert "the token is [secret]" in log and "shown" in log and VALUE not in log
    assert VALUE.encode() not in everywhere(bench.folder) and base64.b64encode(VALUE.encode()) not in everywhere(bench.folder)
    made = layers.root(bench.folder) / result.ground["key"]
    assert (made / "repo" / "length").read_text() == f"{len(VALUE)}\n"
    later, at = bench.run("env | sort > env.txt; ls /dev/shm > shm.txt", checks=("test -z \"$NPM_TOKEN$SWARM_SECRETS\" && ! test -s shm.txt",),
                          ground=Ground(result.ground["key"], disk_mb=64))
    assert later.outcome == "ok", (later.reason, log_of(at))


@pytest.mark.parametrize(("step", "where"), [
    ("echo \"//registry/:_authToken=$NPM_TOKEN\" > \"$HOME/.npmrc\"", "the file .npmrc in the home folder"),
    ("mkdir -p a/b; printf 'x%s' \"user:$NPM_TOKEN\" | base64 > a/b/c", "the file a/b/c in the work tree"),
    (f"echo 'https://u:{quote(VALUE, safe='')}@host' > url", "the file url in the work tree"),
    ("touch \"dir-$(echo $NPM_TOKEN | tr / _)\"; ln -s \"/x/$NPM_TOKEN\" link", "the file link in the work tree"),
    ("head -c 1048570 /dev/zero > big; printf %s \"$NPM_TOKEN\" >> big", "the file big in the work tree"),
    ("echo \"TOKEN=$NPM_TOKEN\" >> \"$SWARM_ENV\"", "the variable TOKEN"),
])
def test_a_secret_that_setup_leaves_fails_the_environment_and_names_the_path(bench: Bench, step: str, where: str) -> None:
    secrets.put(bench.folder, "default", "NPM_TOKEN", VALUE)
    result, _ = set_up(bench, step)
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert "the secret NPM_TOKEN" in str(result.reason) and where in str(result.reason) and VALUE not in str(result.reason)
    assert not [path for path in layers.root(bench.folder).iterdir() if path.is_dir()] and VALUE.encode() not in everywhere(bench.folder)


@pytest.mark.parametrize("value", ["12345678", "a b/c+d?e%f", "-----BEGIN KEY-----\nabcdef\n-----END KEY-----\n", "ünïcode-wörd", "xy1" * 100])
def test_every_form_of_a_secret_is_found(tmp_path: Path, value: str) -> None:
    shown = value.strip().encode()
    for number, form in enumerate([shown, quote(shown, safe="").encode(), quote(shown, safe="").lower().encode() if shown.islower() else shown,
                                   json.dumps(value).encode(), *(base64.b64encode(b"p" * n + shown + b"s" * m) for n in range(4) for m in range(3)),
                                   *(base64.urlsafe_b64encode(b"p" * n + shown) for n in range(3)), base64.encodebytes(b"user:" + shown)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "clean").write_bytes(b"nothing of it is here: " + shown[:6] + shown[1:])
        assert leaks.find(folder, {"OTHER": "quite another", "NAME": value}) is None, "a part of it is none"
        (folder / "file").write_bytes(b"before " + form + b" after")
        assert leaks.find(folder, {"OTHER": "quite another", "NAME": value}) == ("NAME", "file"), form
