"""The schemas of repositories and their environments."""
from typing import Any

from engine.environments.steps import COMMANDS, DAYS, SERVICES
from engine.repositories.settings import LIMITS
from hitl.api.openapi.operations import ref
from hitl.api.openapi.shapes import BOOLEAN, INTEGER, SHA256, TEXT, TIME, listed, maybe, one_of, options, shape

_COMMANDS = {**listed({**TEXT, "maxLength": 4000}), "maxItems": COMMANDS}
_TEXTS = {**listed(TEXT), "maxItems": COMMANDS}
_VALUES = {"type": "object", "additionalProperties": TEXT}
_PERSON = {**TEXT, "description": "Name <mail@example.org>, or empty", "examples": ["Name <mail@example.org>"]}


def _limit(name: str) -> dict[str, Any]:
    least, most = LIMITS[name]
    return {"type": "integer", "minimum": least, "maximum": most}


SCHEMAS: dict[str, Any] = {
    "Steps": {**options(
        setup={**_COMMANDS, "description": "Commands that run once, in this order, with network"},
        update={**_COMMANDS, "description": "Commands that run instead on top of an older environment"},
        inputs={**_TEXTS, "description": "Paths and patterns; a change of one makes the environment again"},
        hosts={**_TEXTS, "description": "Hosts that setup may reach"}, env={**_VALUES, "description": "Variables for every sandbox"},
        services={"type": "object", "maxProperties": SERVICES, "additionalProperties": {**options(start=TEXT, ready=TEXT, env=_VALUES), "required": ["start"]}},
        secrets={**_TEXTS, "description": "Names of secrets that setup alone gets"},
        days={"type": "integer", "minimum": 0, "maximum": DAYS, "description": "Made again after so many days; 0: never"}), "additionalProperties": False},
    "Environment": shape(
        state=one_of("none", "proposed", "building", "ready", "failed"), sha256={**maybe(SHA256), "description": "Of the steps: what is approved"},
        source=maybe(one_of("page", "workflow", "detected")), key=maybe(TEXT), steps=ref("Steps"),
        found=listed({"type": "object"}), seconds=maybe({"type": "number"}), bytes=maybe(INTEGER), built_at=maybe(TIME),
        run={**maybe(TEXT), "description": "The id of the newest setup run"}, reason={**maybe(TEXT), "description": "Why that run failed"},
        approved={**BOOLEAN, "description": "Whether these steps are approved"},
        without={**BOOLEAN, "description": "Builds go on without an environment, because someone said so"}),
    "KnownRepository": shape(
        id=TEXT, url=TEXT, name=TEXT, source=TEXT, default_branch=maybe(TEXT), state=one_of("unknown", "reachable", "unreachable"),
        reason={**maybe(TEXT), "description": "What the last look found, if something must be done"}, environment=ref("Environment"), author=TEXT,
        fetching={**maybe(TEXT), "description": "How far its fetch is, while a run fetches it"},
        sign_off=TEXT, max_parallel={**INTEGER, "description": "Most runs of one session at once; 0: no limit of its own"}, hooks=BOOLEAN, without=BOOLEAN,
        limits=shape(**dict.fromkeys(LIMITS, INTEGER)), looked_at=maybe(TIME), created_at=TIME, updated_at=TIME),
    "KnownRepositories": shape(repositories=listed(ref("KnownRepository"))),
    "RepositoryChange": options(
        environment={"anyOf": [ref("Steps"), {"type": "null"}], "description": "Becomes a proposal; null or {} removes the steps"},
        author=maybe(_PERSON), sign_off={**maybe(_PERSON), "description": "Who certifies the commits; empty: no Signed-off-by line"},
        max_parallel=maybe({"type": "integer", "minimum": 0, "maximum": 512}), hooks=maybe(BOOLEAN), without=maybe(BOOLEAN),
        limits=maybe({**options(**{name: maybe(_limit(name)) for name in LIMITS}), "additionalProperties": False})),
}
