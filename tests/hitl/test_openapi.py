"""The API is what its description says: every route is described, every answer is in the description, and nothing ends in a 5xx."""
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from serving import session

from engine.config import Config
from engine.environments.steps import Steps
from engine.errors import SwarmError
from engine.repositories import sources, versions
from engine.runs import wanted
from engine.tickets import settle
from hitl.api.openapi import OPERATIONS, document
from hitl.api.openapi.errors import RESPONSES

load_all_checks()
JUDGES = CHECKS.get_by_names(["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
                              "response_headers_conformance"])
SCHEMA = schemathesis.openapi.from_dict(document())
EXAMPLES = 7
STATES = ("draft", "clarifying", "review", "approved", "building", "amended", "completed", "cancelled", "broken", "unknown")


def templates(rule):
    """The OpenAPI paths of a route: one for each alternative of <any(…):…>."""
    path = re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", re.sub(r"<any\([^>]*>", "{any}", rule))
    alternatives = re.search(r"<any\(([^)]*)\)", rule)
    return [path.replace("{any}", name.strip(" '\"")) for name in alternatives[1].split(",")] if alternatives else [path]


def test_every_route_is_described_and_nothing_else(app):
    routes = {(method, path) for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/") for path in templates(rule.rule)
              for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert routes == {(each.method, each.path) for each in OPERATIONS}
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)


def test_every_error_of_a_request_is_described(client):
    def below(kind):
        return {kind, *(each for child in kind.__subclasses__() for each in below(child))}
    of_requests = {each for each in below(SwarmError) if each.__module__ == "engine.errors" and each.status != 500}
    assert {str(each.status) for each in of_requests} == set(RESPONSES)
    answer = client.get("/api/openapi.json")
    assert answer.json == document() and answer.json["openapi"] == "3.1.0"


def test_the_description_is_valid():
    SCHEMA.validate()


@pytest.fixture
def config(tmp_path):
    return Config(data=tmp_path / "data", synchronous="NORMAL")  # no power is cut here


@pytest.fixture
def sessions(app, client):
    """{state: the id of a session that is in it}."""
    db = app.extensions["swarm"].db
    found = {"unknown": "unknown", "draft": client.post("/api/hitl", json={"project_name": "D", "description": "Greet."}).json["id"]}
    found["clarifying"] = client.post("/api/hitl", json={"project_name": "C", "description": "Greet."}).json["id"]
    client.post(f"/api/hitl/{found['clarifying']}/messages")
    found["review"] = session(client)["id"]
    for state in ("approved", "building", "amended", "completed", "cancelled"):
        found[state] = session(client, approved=True)["id"]
        if state not in ("approved", "cancelled"):
            client.post(f"/api/hitl/{found[state]}/start-build", json={"confirmed": True})
    client.post(f"/api/hitl/{found['cancelled']}/cancel")
    client.post(f"/api/hitl/{found['amended']}/amend", json={"add": [{"title": "N"}]})
    db.execute("update tickets set status = 'running', base_sha = 'b' where type = 'epic' and session_id = ?", (found["building"],))
    settle.session(db, found["building"])
    db.execute("update tickets set status = 'completed' where session_id = ?", (found["completed"],))
    db.execute("update hitl_sessions set state = 'completed' where id = ?", (found["completed"],))
    found["broken"] = session(client)["id"]
    db.execute("update hitl_sessions set spec_card = '{\"features\": null}' where id = ?", (found["broken"],))
    return found


@pytest.fixture
def repository(db, config):
    """{the name of an id: one that is known}: a repository with steps, and a run that makes its environment."""
    row = sources.row_for(db, config, "default", "owner/repo")
    versions.propose(db, row, Steps(setup=("true",)), "page")
    versions.approve(db, row["id"], versions.proposed(db, row["id"])["sha256"], "you")
    versions.propose(db, row, Steps(setup=("false",)), "page")
    return {"repository_id": row["id"], "run_id": wanted.want(db, "setup", "repository", row["id"], "default", {})["id"]}


def modes():
    """What is asked: of each operation what it describes, and, where it takes more than an id, what it does not."""
    for each in OPERATIONS:
        for mode in [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if each.body or each.query else [])]:
            yield pytest.param(each, mode, id=f"{each.name}-{mode.value}")


@pytest.mark.parametrize(("described", "mode"), list(modes()))
def test_every_answer_is_in_the_description(app, sessions, repository, described, mode):
    operation = SCHEMA[described.path][described.method]
    ticket_ids = [row[0] for row in app.extensions["swarm"].db.all("select id from tickets")]
    shas = [row[0] for row in app.extensions["swarm"].db.all("select sha256 from amendments union select sha256 from spec_versions"
                                                            " union select sha256 from environment_versions")]
    SCHEMA.app = app

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(case=operation.as_strategy(generation_mode=mode), state=st.sampled_from(STATES), ticket=st.sampled_from(ticket_ids),
           sha=st.sampled_from(shas), known=st.sampled_from([True, True, True, False]))
    def ask(case, state, ticket, sha, known):
        if known:
            for name, value in (("session_id", sessions[state]), ("ticket_id", ticket), *repository.items()):
                if name in (case.path_parameters or {}):
                    case.path_parameters[name] = value
            for name in ("sha256", "spec_sha256"):
                if isinstance(case.body, dict) and name in case.body:
                    case.body[name] = sha
        case.validate_response(case.call(app=app), checks=JUDGES)

    ask()


def test_a_method_that_is_not_described_is_refused(client):
    for path in document()["paths"]:
        for method in {"get", "put", "post", "patch", "delete"} - set(document()["paths"][path]):
            answer = getattr(client, method)(re.sub(r"\{(\w+)\}", "1", path))
            assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed"), (method, path)
