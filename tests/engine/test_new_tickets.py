"""New tickets: ids from one counter, named values, the rest by the schema."""
import pytest

from engine.store.db import Database
from engine.tickets.new_tickets import ROWS, create, depend


@pytest.fixture
def session(db: Database) -> str:
    db.execute("insert into hitl_sessions (id, tenant_id, project_name) values ('s', 'acme', 'P')")
    return "s"


def test_ids_go_on_from_the_counter_and_grow_past_three_digits(db: Database, session: str) -> None:
    db.execute("update counters set value = 998 where name = 'ticket'")
    assert create(db, "acme", session, [{"type": "bug", "title": title} for title in "ab"]) == ["TKT-999", "TKT-1000"]
    assert create(db, "acme", session, []) == []
    assert create(db, "acme", session, [{"title": "c"}], type="task") == ["TKT-1001"]


def test_ids_of_a_transaction_that_is_rolled_back_are_given_again(db: Database, session: str) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction():
        create(db, "acme", session, [{"type": "bug", "title": "a"}])
        raise ZeroDivisionError
    assert create(db, "acme", session, [{"type": "bug", "title": "b"}]) == ["TKT-001"]


def test_each_ticket_has_its_own_values_and_those_of_all_over_many_statements(db: Database, session: str) -> None:
    count = 2 * ROWS + 3
    ids = create(db, "acme", session, [{"title": f"T{n}", "review": n == 7, "position": n} for n in range(count)], type="feature", status="blocked")
    rows = db.all("select * from tickets order by seq")
    assert [row["id"] for row in rows] == ids and [row["title"] for row in rows] == [f"T{n}" for n in range(count)]
    assert {row["review"] for row in rows if row["position"] != 7} == {0} and rows[7]["review"] == 1
    assert {(row["tenant_id"], row["session_id"], row["type"], row["status"], row["acceptance_criteria"], row["agent"]) for row in rows} == {
        ("acme", "s", "feature", "blocked", "[]", None)}
    depend(db, [(ids[1], ids[0]), (ids[2], ids[0])])
    assert db.pairs("select ticket_id, depends_on from ticket_dependencies") == {ids[1]: ids[0], ids[2]: ids[0]}


def test_a_ticket_that_leaves_out_what_another_names_is_refused(db: Database, session: str) -> None:
    with pytest.raises(KeyError):
        create(db, "acme", session, [{"title": "a", "priority": 1}, {"title": "b"}], type="feature")
