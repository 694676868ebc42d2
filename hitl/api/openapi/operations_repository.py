"""Operations on repositories, their environments, and runs."""
from hitl.api.openapi.operations import Operation, ref
from hitl.api.openapi.shapes import BOOLEAN, SHA256, TEXT, options, shape

_ALL = "/api/repositories"
_ONE = _ALL + "/{repository_id}"
_RUN = "/api/runs/{run_id}"
_OFFSET = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}

REPOSITORIES = (
    Operation("GET", _ALL, "listRepositories", "The repositories that this installation knows, by name", {200: ref("KnownRepositories")}),
    Operation("POST", _ALL, "addRepository", "Adds a repository and looks at it at once; 200: it is known already",
              {200: ref("KnownRepository"), 201: ref("KnownRepository")}, (),
              {**options(url={**TEXT, "minLength": 1, "maxLength": 1000, "description": "As in a card: owner/repo, a URL, or an absolute path"}),
               "required": ["url"]}),
    Operation("GET", _ONE, "getRepository", "A repository with its settings and its environment", {200: ref("KnownRepository")}),
    Operation("PATCH", _ONE, "editRepository", "Changes settings; steps of an environment become a proposal", {200: ref("KnownRepository")}, (),
              ref("RepositoryChange")),
    Operation("DELETE", _ONE, "deleteRepository", "Removes it with its environments; not while a build or a setup runs in it",
              {200: shape(deleted=TEXT)}, (409,)),
    Operation("GET", f"{_ONE}/environment", "getEnvironment", "The environment: its steps, and what was made of them", {200: ref("Environment")}),
    Operation("POST", f"{_ONE}/environment/approve", "approveEnvironment", "Approves the steps with this hash and has the environment made",
              {200: ref("Environment")}, (409,), {**options(sha256=SHA256), "required": ["sha256"]}),
    Operation("POST", f"{_ONE}/environment/build", "buildEnvironment", "Has the environment made for the newest commit; again: from nothing",
              {200: ref("Environment")}, (409,), options(again=BOOLEAN), optional=True),
    Operation("DELETE", _ONE + "/environments/{key}", "deleteEnvironment", "Removes one environment; its files go when no run stands on them",
              {200: ref("Environment")}, (409,)),
    Operation("GET", _RUN, "getRun", "A run, with or without a ticket", {200: ref("Run")}),
    Operation("GET", f"{_RUN}/log", "getRunLog", "A piece of its log, from a byte offset", {200: ref("Log")}, query={"after": _OFFSET}),
    Operation("POST", f"{_RUN}/cancel", "cancelRun", "Ends the run; the ticket of a ticket's run then waits for you", {200: ref("Run")}, (409,),
              {"type": "object"}, optional=True),
)
