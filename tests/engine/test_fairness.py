"""Whose ticket is claimed next: tenants, and the sessions of a tenant, take turns; a card may limit its own runs."""
from collections import Counter
from typing import Any

import pytest
from conftest import build, by_hand, statuses
from memory_engine import drive, make_engine

from engine.commands.run_ticket import run_ticket
from engine.config import Config
from engine.errors import Refused
from engine.store.db import Database
from engine.tickets import approved_card, claims
from hitl.card.spec_card import validate
from hitl.web.strict_json import canonical

LATER = "2100-01-01T00:00:00.000Z"


def card(features: int, name: str = "C", **more: Any) -> dict[str, Any]:
    return {"name": name, "features": [{"title": f"F{n}"} for n in range(features)], **more}


def released(db: Database, config: Config, features: int, tenant: str = "default", **more: Any) -> str:
    """A build whose features are all ready. -> its session"""
    session = build(db, config, card(features, **more), tenant)
    db.execute("update tickets set base_sha = 'b', status = 'running' where session_id = ? and type = 'epic'", (session,))
    db.execute("update tickets set status = 'ready' where session_id = ? and type = 'feature'", (session,))
    return session


def end(db: Database, run: Any) -> None:
    assert claims.begin(db, run, "fake", "runbook")
    assert claims.finish(db, run, "merged", "completed", None)


def one_by_one(db: Database, count: int) -> list[str]:
    """With one slot: the session of each of the next claims."""
    sessions = []
    for _ in range(count):
        [run] = claims.claim(db, "engine", 1, LATER)
        sessions.append(run["session_id"])
        end(db, run)
    return sessions


def test_a_small_build_behind_a_large_one_waits_for_at_most_two_tickets(db: Database, config: Config) -> None:
    large = released(db, config, 300)
    assert one_by_one(db, 3) == [large] * 3
    small = build(db, config, card(2))
    order = one_by_one(db, 2)
    assert small in order, "its epic was claimed"
    released_small = db.execute("update tickets set base_sha = 'b', status = 'running' where session_id = ? and type = 'epic'", (small,)).rowcount
    db.execute("update tickets set status = 'ready' where session_id = ? and type = 'feature'", (small,))
    assert released_small == 1 and Counter(one_by_one(db, 4)) == {small: 2, large: 2}


def test_the_engine_with_one_slot_ends_a_small_build_long_before_a_large_one(db: Database, config: Config) -> None:
    large = build(db, config, card(40))
    engine = make_engine(db, Config(**{**vars(config), "slots": 1}))
    drive(engine, 8)
    small = build(db, config, card(2))
    claimed = db.value("select count(*) from runs")
    while set(statuses(db, small).values()) != {"completed"}:
        engine.tick()
    first = db.value("select min(seq) from runs where session_id = ?", (small,))
    assert first - claimed <= 2, "it waited for more than one other ticket"
    mine, others = (db.value(f"select count(*) from runs where seq >= ? and session_id {sign} ?", (first, small)) for sign in ("=", "<>"))
    assert others <= mine + 1 and "ready" in statuses(db, large).values()


@pytest.mark.parametrize("builds", [2, 3, 5])
def test_sessions_take_turns_one_after_the_other(db: Database, config: Config, builds: int) -> None:
    sessions = sorted(released(db, config, 4) for _ in range(builds))
    assert one_by_one(db, 3 * builds) == sessions * 3


def test_a_turn_goes_on_where_it_was_also_when_other_tenants_are_served_between(db: Database, config: Config) -> None:
    """Two tenants with two builds each, and a third tenant now and then."""
    builds = {tenant: sorted(released(db, config, 12, tenant) for _ in range(2)) for tenant in ("a", "b")}
    order = one_by_one(db, 8)
    released(db, config, 3, "c")
    order += one_by_one(db, 12)
    for sessions in builds.values():
        served = [session for session in order if session in sessions]
        assert len(served) >= 8 and served == (sessions * len(served))[:len(served)], "they alternate"


def test_within_a_session_priority_comes_first_and_then_age(db: Database, config: Config) -> None:
    session = released(db, config, 4)
    db.execute("update tickets set priority = 5 where session_id = ? and position = 3", (session,))
    runs = claims.claim(db, "engine", 4, LATER)
    assert [db.value("select position from tickets where id = ?", (run["ticket_id"],)) for run in runs] == [3, 1, 2, 4]


def test_a_high_priority_takes_no_other_sessions_turn(db: Database, config: Config) -> None:
    greedy, modest = released(db, config, 6), released(db, config, 6)
    db.execute("update tickets set priority = 1000 where session_id = ?", (greedy,))
    assert Counter(one_by_one(db, 6)) == {greedy: 3, modest: 3}


def test_free_slots_go_to_the_sessions_with_the_fewest_runs(db: Database, config: Config) -> None:
    first = released(db, config, 20)
    assert len(claims.claim(db, "engine", 4, LATER)) == 4
    second = released(db, config, 20)
    assert [run["session_id"] for run in claims.claim(db, "engine", 3, LATER)] == [second] * 3
    assert Counter(run["session_id"] for run in claims.claim(db, "engine", 5, LATER)) == {first: 2, second: 3}


def test_equals_get_the_odd_slot_in_turn(db: Database, config: Config) -> None:
    """Two builds and three slots: nobody always has two."""
    builds = [released(db, config, 20) for _ in range(2)]
    live, twice = list(claims.claim(db, "engine", 3, LATER)), Counter[str]()
    for _ in range(8):
        counts = Counter(run["session_id"] for run in live)
        assert sorted(counts.values()) == [1, 2]
        twice.update(session for session in builds if counts[session] == 2)
        for run in live:
            end(db, run)
        live = list(claims.claim(db, "engine", 3, LATER))
    assert twice == {builds[0]: 4, builds[1]: 4}


def test_a_session_that_can_claim_nothing_keeps_nobody_waiting(db: Database, config: Config) -> None:
    waiting, able = sorted(released(db, config, 5) for _ in range(2))
    db.execute("update tickets set not_before = '2999' where session_id = ?", (waiting,))
    assert one_by_one(db, 3) == [able] * 3
    assert len(claims.claim(db, "engine", 4, LATER)) == 2


@pytest.mark.parametrize("why", ["pause", "limit"])
def test_a_tenant_that_can_claim_nothing_keeps_no_other_tenant_waiting(db: Database, config: Config, why: str) -> None:
    """Also where it would come first, and there is one free slot."""
    able = released(db, config, 9, "b")
    assert len(claims.claim(db, "engine", 1, LATER)) == 1
    released(db, config, 9, "a", **({"max_parallel": 1} if why == "limit" else {}))
    assert db.value("select tenant_id from tickets where id = ?", (claims.claim(db, "engine", 1, LATER)[0]["ticket_id"],)) == "a"
    if why == "pause":
        db.execute("update tickets set not_before = '2999' where tenant_id = 'a'")
    for _ in range(3):
        assert [run["session_id"] for run in claims.claim(db, "engine", 1, LATER)] == [able]


def test_runs_that_only_wait_to_be_merged_do_not_count(db: Database, config: Config) -> None:
    full, other = sorted(released(db, config, 9) for _ in range(2))
    for run in claims.claim(db, "engine", 6, LATER):
        if run["session_id"] == full:
            db.execute("update runs set state = 'queued' where id = ?", (run["id"],))
    assert claims.claim(db, "engine", 1, LATER)[0]["session_id"] == full
    assert claims.busy_slots(db) == 4 and other


def test_a_card_limits_its_own_runs_and_the_slots_go_to_others(db: Database, config: Config) -> None:
    limited, free = released(db, config, 9, max_parallel=2), released(db, config, 9)
    runs = claims.claim(db, "engine", 7, LATER)
    assert Counter(run["session_id"] for run in runs) == {limited: 2, free: 5}
    assert not [run for run in claims.claim(db, "engine", 9, LATER) if run["session_id"] == limited]
    end(db, next(run for run in runs if run["session_id"] == limited))
    assert [run["session_id"] for run in claims.claim(db, "engine", 9, LATER)] == [limited]


def test_a_card_alone_with_many_slots_is_limited_too(db: Database, config: Config) -> None:
    released(db, config, 9, max_parallel=3)
    assert len(claims.claim(db, "engine", 9, LATER)) == 3
    assert claims.claim(db, "engine", 9, LATER) == []


@pytest.mark.parametrize(("settings", "most"), [('{"max_parallel": 2}', 2), ('{"max_parallel": 5}', 3), ('{"max_parallel": true}', 3), ("spoiled", 3)])
def test_the_smaller_limit_of_card_and_repository_counts(db: Database, config: Config, settings: str, most: int) -> None:
    session = released(db, config, 9, max_parallel=3)
    db.execute("insert into repositories (id, source, url, name, settings) values ('r', 's', 'u', 'n', ?)", (settings,))
    db.execute("update hitl_sessions set repository_id = 'r' where id = ?", (session,))
    assert len(claims.claim(db, "engine", 9, LATER)) == most


def test_a_limited_build_ends_with_rechecks_and_never_has_more_runs(db: Database, config: Config) -> None:
    criteria = [{"text": "it holds", "check": "true"}]
    session = build(db, config, {"name": "C", "max_parallel": 2, "features": [{"title": f"F{n}", "acceptance_criteria": criteria} for n in range(6)]})
    engine = make_engine(db, config)
    most = 0
    for _ in range(60):
        engine.tick()
        most = max(most, claims.busy_slots(db))
    assert set(statuses(db, session).values()) == {"completed"} and most == 2
    assert db.value("select 1 from runs where kind = 'recheck'")


def test_run_ticket_and_rechecks_keep_the_limit_and_say_so(db: Database, config: Config) -> None:
    session = released(db, config, 3, max_parallel=1)
    [run] = claims.claim(db, "engine", 9, LATER)
    other = db.value("select id from tickets where status = 'ready' and session_id = ?", (session,))
    assert claims.claim_one(db, "cli", other, LATER) is None
    said = rf"{other} waits: its card or its repository allows 1 of its runs at the same time \(max_parallel\)\. Wait for one to end\."
    with pytest.raises(Refused, match=said):
        run_ticket(db, config, other)
    epic = db.value("select id from tickets where type = 'epic'")
    assert claims.recheck(db, "engine", epic, LATER) is None
    end(db, run)
    assert claims.recheck(db, "engine", epic, LATER) is not None
    assert claims.claim_one(db, "cli", other, LATER) is None


@pytest.mark.parametrize("value", ["2", True, 0, -1, 1.5, None, [1]])
def test_a_limit_that_was_spoiled_by_hand_limits_nothing(db: Database, config: Config, value: Any) -> None:
    session = released(db, config, 4)
    edited = validate(card(4)).card | {"max_parallel": value}
    by_hand(config, "update spec_versions set card = ? where session_id = ?", (canonical(edited), session))
    assert approved_card.most_parallel(db, session) == approved_card.NO_LIMIT
    assert len(claims.claim(db, "engine", 9, LATER)) == 4
