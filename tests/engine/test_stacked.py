"""With a pull request for each feature, a dependent one is based on the branch of what it depends on. On both forges."""
import pytest
from forge_people import FORGES, on_a_forge, watched

from engine.tickets import deliveries


@pytest.fixture(params=FORGES, ids=["github", "gitlab"])
def forge(request, tmp_path):
    yield from on_a_forge(request.param, tmp_path)


def branch(built, ticket):
    return built.ticket(ticket)["branch_name"]


@pytest.fixture
def built(db, config, forge, tmp_path):
    """TKT-002, TKT-003 onto it, TKT-004 onto TKT-003, and TKT-005 by itself."""
    return watched(db, config, forge, tmp_path, features=4, depends={2: [1], 3: [1, 2]}, pull_requests="feature")


def test_each_is_onto_the_branch_of_what_it_depends_on(built, forge):
    assert forge.bases() == [built.branch, branch(built, "TKT-002"), branch(built, "TKT-003"), built.branch]
    assert all(built.row(ticket)["state"] == "watched" for ticket in ("TKT-002", "TKT-003", "TKT-004", "TKT-005"))


def test_when_the_one_below_is_merged_the_one_above_moves_to_what_that_one_was_onto(built, forge):
    forge.move("merged", 1)
    built.go(2)
    assert forge.bases() == [built.branch, built.branch, branch(built, "TKT-003"), built.branch]
    forge.move("merged", 2)
    built.go(2)
    assert forge.bases()[2] == built.branch and built.row("TKT-004")["base_branch"] == built.branch
    for number in (3, 4):
        forge.move("merged", number)
    built.go(3)
    assert forge.bases()[4:] == ["main"], "then the whole"


def test_a_base_that_a_person_chose_is_left_alone(built, forge):
    if forge.name == "github":
        forge.double.pulls[1]["base"] |= {"ref": "main"}
    else:
        forge.double.changes[1]["target_branch"] = "main"
    forge.move("merged", 1)
    built.go(2)
    assert forge.bases()[1] == "main"


def test_a_new_pull_request_after_the_one_below_was_merged_is_onto_the_integration_branch(built, forge):
    forge.move("merged", 1)
    forge.move("closed", 2)
    built.go(2)
    built.db.execute("update requests set state = 'withdrawn'")
    built.db.execute("update deliveries set state = 'intended', waiting = null, number = null, not_before = null where ticket_id = 'TKT-003'")
    built.db.execute("update tickets set status = 'running' where id = ?", (built.epic,))
    built.go(3)
    assert forge.bases()[4:] == [built.branch]


def test_a_dependency_without_a_change_of_its_own_passes_its_own_on(db, config, forge, tmp_path):
    built = watched(db, config, forge, tmp_path, features=3, depends={2: [1], 3: [2]}, pull_requests="feature")
    db.execute("update tickets set branch_name = null where id = 'TKT-003'")
    merged = {feature["id"]: feature for feature in deliveries.features(db, built.epic)}
    assert deliveries._below(db, "TKT-004", merged)["id"] == "TKT-002"
