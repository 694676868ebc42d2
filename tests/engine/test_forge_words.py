"""What a forge says is wrong, as a person reads it, and which of its refusals are only waits. By the real client libraries, over HTTP."""
import json
import time
from email.utils import formatdate

import pytest
from forge_http import TOKEN, Server, reply

from engine.config import Config
from engine.errors import Permanent, RateLimited
from engine.forge import Place, connect
from engine.forge.words import words

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path) as server:
        yield server


def forge(server, name="github"):
    return connect(Config(forge_token=TOKEN, forge=name, forge_url=server.url), Place(name, server.url, "acme/widget"))


def refused(server, name, answer, error=Permanent):
    server.mood = lambda method, path: answer
    with pytest.raises(error) as raised:
        forge(server, name).open_change("swarm/x", "main", "T", "B")
    return raised.value


@pytest.mark.parametrize(("errors", "expected"), [
    ([{"resource": "PullRequest", "field": "base", "code": "invalid"}], "PullRequest base: invalid"),
    ([{"resource": "PullRequest", "field": "head", "code": "missing_field"}, {"resource": "PullRequest", "code": "unprocessable"}],
     "PullRequest head: missing_field; PullRequest: unprocessable"),
    ([{"resource": "PullRequest", "field": "title", "code": "invalid", "message": "title is too long"}], "PullRequest title: title is too long (invalid)"),
    ([{"resource": "PullRequest", "code": "custom", "message": "No commits between main and x"}], "No commits between main and x"),
    ("Draft is not possible here", "Draft is not possible here"), ([None, 7, {"code": 9}], "Validation Failed")])
def test_a_422_of_github_is_shown_by_field_and_code(server, errors, expected):
    said = refused(server, "github", reply(422, {"message": "Validation Failed", "errors": errors})).sentence
    assert "Validation Failed" in said and said.endswith(expected), said


@pytest.mark.parametrize(("status", "body", "expected"), [
    (400, {"message": {"source_branch": ["is too long", "is taken"], "base": "is invalid"}}, "source_branch: is too long; is taken; base: is invalid"),
    (409, {"message": ["This branch is protected."]}, "This branch is protected."), (422, {"error": "title is missing"}, "title is missing")])
def test_a_refusal_of_gitlab_is_shown_by_field_too(server, status, body, expected):
    assert refused(server, "gitlab", reply(status, body)).sentence == f"GitLab rejected this: {expected}"


def test_words_are_one_bounded_line_of_text_whatever_comes():
    deep = {"message": "m"}
    for _ in range(50):
        deep = {"message": {"a": [deep]}}
    for answer in (None, 7, [1], "x", {}, {"message": 7, "errors": 8}, deep, {"message": {"f": [["x"] * 99] * 99}}, {"errors": [{"code": "\x1b[31m\n\u202e"}]}):
        said = words(answer)
        assert len(said) <= 401 and said.isprintable(), said
    assert words(json.loads('{"message": "Validation Failed", "errors": []}')) == "Validation Failed"


@pytest.mark.parametrize("name", ["github", "gitlab"])
@pytest.mark.parametrize(("status", "message", "headers", "low", "high"), [
    (403, SECONDARY, {}, 60, 60), (429, SECONDARY, {}, 60, 60), (403, "You have triggered an abuse detection mechanism.", {}, 60, 60),
    (403, "API rate limit exceeded for installation ID 7.", {}, 60, 60), (403, "Slow down", {"Retry-After": "17"}, 17, 17),
    (403, "Slow down", {"Retry-After": "a date"}, 600, 900), (429, "Slow down", {"Retry-After": "soon"}, 60, 60),
    (429, "Slow down", {"Retry-After": "0"}, 0, 0), (429, "Slow down", {"Retry-After": "999999"}, 3600, 3600)])
def test_a_limit_is_a_wait_with_or_without_a_header(server, name, status, message, headers, low, high):
    if headers.get("Retry-After") == "a date":
        headers = {"Retry-After": formatdate(time.time() + 900, usegmt=True)}
    assert low <= refused(server, name, (status, {"Content-Type": "application/json", **headers}, json.dumps({"message": message}).encode()),
                          RateLimited).extra["wait"] <= high


def test_a_403_that_names_no_limit_asks_a_person(server):
    assert type(refused(server, "github", reply(403, {"message": "Resource not accessible by integration"}))) is Permanent


def test_a_limit_of_graphql_has_the_status_200_and_is_a_wait_too(server):
    pull = {"number": 1, "state": "open", "draft": True, "title": "T", "body": "B", "node_id": "PR_1", "url": f"{server.url}/api/v3/repos/acme/widget/pulls/1"}
    server.mood = lambda method, path: reply(200, {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]} if "graphql" in path else pull)
    with pytest.raises(RateLimited):
        forge(server).finish_draft(1, "T", "B")
