"""Builds of other tenants that came with a database of the older form wait until SWARM_TENANTS names them; nothing else waits."""
import dataclasses
import json
import sqlite3
from contextlib import closing

import pytest
from conftest import build
from flask import Flask

from app import create_app, start_engine
from engine.config import Config
from engine.loop.fakes import FakeBranches, FakeLauncher
from engine.loop.loop import SwarmEngine
from engine.store.db import Database, open_database
from engine.store.held_back import waiting
from engine.store.older_form import OLD_TABLES
from hitl import ticket_generator

CARD = '{"name": "Old", "features": [{"title": "F"}]}'
Sessions = list[tuple[str, str | None, str]]  # id, tenant, state


def old(config: Config, sessions: Sessions, epics: dict[str, str] | None = None, tenants: dict[str, str] | None = None) -> Database:
    """A database of the older form with an epic and a feature in each session, taken over. epics: {session: status of its tickets};
    tenants: {session: the tenant of its feature}."""
    config.data.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(config.database)) as connection, connection:
        for name, columns in OLD_TABLES.items():
            connection.execute(f"create table {name} ({', '.join(f'{column} text' for column in columns)})")
        for number, (session, tenant, state) in enumerate(sessions):
            connection.execute("insert into hitl_sessions (id, tenant_id, project_name, state, spec_card) values (?, ?, 'Old', ?, ?)",
                               (session, tenant, state, CARD))
            for place, (kind, parent) in enumerate((("epic", None), ("feature", f"TKT-{number:02}0"))):
                connection.execute("insert into tickets (id, session_id, tenant_id, type, title, status, parent_id) values (?, ?, ?, ?, 'T', ?, ?)",
                                   (f"TKT-{number:02}{place}", session, (tenants or {}).get(session, tenant) if place else tenant, kind,
                                    (epics or {}).get(session, "ready"), parent))
    return open_database(config.database, "NORMAL")


def engine(db: Database, config: Config, *tenants: str) -> SwarmEngine:
    branches = FakeBranches()
    return SwarmEngine(db, dataclasses.replace(config, tenants=tenants, slots=50), FakeLauncher(branches), branches)


def worked_on(db: Database, config: Config, *tenants: str) -> set[str]:
    """The sessions that have had a run after a few ticks of a new engine."""
    one = engine(db, config, *tenants)
    for _ in range(6):
        one.tick()
    return {row[0] for row in db.execute("select distinct session_id from runs")}


THREE: Sessions = [("a1", "acme", "building"), ("a2", "acme", "building"), ("b1", "beta", "building"), ("d1", "default", "building"), ("d2", None, "building")]


@pytest.mark.parametrize(("tenants", "go_on"), [
    ((), {"d1", "d2"}), (("acme",), {"a1", "a2", "d1", "d2"}), (("beta", "nobody"), {"b1", "d1", "d2"}), (("acme", "beta"), {"a1", "a2", "b1", "d1", "d2"}),
    (("*",), {"a1", "a2", "b1", "d1", "d2"}), (("ACME", "default"), {"d1", "d2"})])
def test_builds_of_other_tenants_wait_until_they_are_named(config: Config, tenants: tuple[str, ...], go_on: set[str]) -> None:
    assert worked_on(old(config, THREE), config, *tenants) == go_on


def test_who_waits_goes_on_when_named_later_and_stays_so(config: Config) -> None:
    db = old(config, THREE)
    assert worked_on(db, config) == {"d1", "d2"} and worked_on(db, config) == {"d1", "d2"}, "also at the second start"
    assert worked_on(db, config, "acme") == {"a1", "a2", "d1", "d2"}
    assert waiting(db, ("acme",)) == "1 session of tenant beta waits: set SWARM_TENANTS=acme,beta or * and start the server again."
    db.execute("update hitl_sessions set paused = 1 where id = 'a1'")
    engine(db, config, "acme", "beta")
    assert db.pairs("select id, paused from hitl_sessions") == {"a1": 1, "a2": 0, "b1": 0, "d1": 0, "d2": 0}, "what you paused later stays paused"
    assert waiting(db, ()) is None


@pytest.mark.parametrize(("state", "status", "waits"), [
    ("building", "running", True), ("building", "claimed", True), ("building", "blocked", True), ("completed", "running", True), ("failed", "ready", True),
    ("failed", "failed", False), ("completed", "completed", False), ("cancelled", "ready", False), ("draft", "pending", False)])
def test_whatever_an_engine_would_take_up_again_waits(config: Config, state: str, status: str, waits: bool) -> None:
    db = old(config, [("a1", "acme", state)], {"a1": status})
    assert worked_on(db, config) == set()
    assert (waiting(db, ()) is not None) is waits
    assert worked_on(db, config, "acme") == ({"a1"} if waits else set())


def test_a_session_with_tickets_of_another_tenant_waits_for_all_its_tenants(config: Config) -> None:
    db = old(config, [("m1", "default", "building"), ("m2", "beta", "building")], tenants={"m1": "acme", "m2": "acme"})
    assert worked_on(db, config) == worked_on(db, config, "beta") == set()
    assert worked_on(db, config, "acme") == {"m1"}
    assert worked_on(db, config, "acme", "beta") == {"m1", "m2"}


def test_what_begins_in_this_program_is_claimed_whatever_its_tenant(config: Config) -> None:
    db = old(config, [("a1", "acme", "building"), ("a2", "acme", "approved")])
    new = build(db, config, {"name": "New", "features": [{"title": "F"}]}, tenant="acme")
    ticket_generator.generate_tickets("a2", json.loads(CARD), "acme", db)
    assert worked_on(db, config) == {new, "a2"}


@pytest.mark.parametrize(("sessions", "sentence"), [
    ([("acme", 3)], "3 sessions of tenant acme wait: set SWARM_TENANTS=acme or * and start the server again."),
    ([("acme", 1)], "1 session of tenant acme waits: set SWARM_TENANTS=acme or * and start the server again."),
    ([("acme", 2), ("beta", 1)], "2 sessions of tenant acme, 1 session of tenant beta wait: set SWARM_TENANTS=acme,beta or * and start the server again."),
    ([("a, b", 1)], "1 session of tenant 'a, b' waits: set SWARM_TENANTS=* and start the server again."),
    ([("", 2)], "2 sessions of tenant '' wait: set SWARM_TENANTS=* and start the server again."),
    ([(f"t{n}", 1) for n in range(7)], ", ".join(f"1 session of tenant t{n}" for n in range(5)) +
                                       ", 2 sessions of 2 more tenants wait: set SWARM_TENANTS=* and start the server again.")])
def test_health_the_api_the_page_and_the_start_say_who_waits(
        config: Config, capsys: pytest.CaptureFixture[str], sessions: list[tuple[str, int]], sentence: str) -> None:
    old(config, [(f"{tenant}{n}", tenant, "building") for tenant, count in sessions for n in range(count)]).close()
    app = create_app(config, testing=True)
    started(app)
    client = app.test_client()
    assert client.get("/api/health").json["waiting"] == client.get("/api/engine").json["waiting"] == sentence
    assert sentence.replace("'", "&#39;") in client.get("/engine").text
    assert f"HITL Swarm: {sentence}\n" in capsys.readouterr().err
    app.extensions["swarm"].db.close()


def started(app: Flask) -> None:
    try:
        start_engine(app)
    finally:
        app.extensions["swarm"].slot.stop()


def test_nobody_is_told_anything_where_nothing_waits(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    app = create_app(config, testing=True)
    started(app)
    assert app.test_client().get("/api/health").json["waiting"] is None and "SWARM_TENANTS=" not in capsys.readouterr().err
    app.extensions["swarm"].db.close()


@pytest.mark.parametrize(("text", "names"), [("", ()), ("acme", ("acme",)), (" Acme , beta,", ("Acme", "beta")), ("*", ("*",))])
def test_the_setting_takes_names_as_they_are(text: str, names: tuple[str, ...]) -> None:
    assert Config.from_env({"SWARM_TENANTS": text}).tenants == names


def test_the_order_of_claims_reads_no_mark(config: Config) -> None:
    """The claim is one statement over the partial index; tickets that wait are not in it."""
    db = old(config, THREE)
    read: list[str] = []
    db.connection.set_trace_callback(read.append)
    engine(db, config).tick()
    assert read and db.value("select count(*) from tickets where status = 'ready' and tenant_id <> 'default'") == 0
    assert not any("counters" in sql for sql in read if "update tickets" in sql)
