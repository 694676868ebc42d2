"""Operations on tickets, requests and the engine."""
from hitl.api.openapi.operations import Operation, ref
from hitl.api.openapi.shapes import BOOLEAN, INTEGER, TEXT, listed, options, shape

_ONE = "/api/tickets/{ticket_id}"
_REASON = options(reason={**TEXT, "minLength": 1, "maxLength": 1000})
_SECRETS = shape(secrets=listed(TEXT))
_OFFSET = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}

TICKETS = (
    Operation("GET", _ONE, "getTicket", "A ticket with its latest run", {200: ref("TicketWithRun")}),
    Operation("GET", f"{_ONE}/runs", "listRuns", "Its runs, newest first", {200: ref("Runs")}),
    Operation("GET", f"{_ONE}/log", "getLog", "A piece of a run's log, from a byte offset", {200: ref("Log")}, query={"after": _OFFSET, "run": TEXT}),
    Operation("GET", f"{_ONE}/gateway", "listAsked", "The requests of a run to its gateway, allowed or refused, from a byte offset of the record",
              {200: ref("Asked")},
              query={"after": _OFFSET, "run": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 500}, "refused": {"type": "string", "enum": ["1"]}}),
    Operation("GET", f"{_ONE}/diff", "getDiff", "The change of a ticket", {200: ref("TicketDiff")}, query={"run": TEXT}),
    Operation("POST", f"{_ONE}/retry", "retryTicket", "Runs a failed or completed ticket again", {200: ref("TicketWithRun")}, (409,),
              {"type": "object"}, optional=True),
    Operation("POST", f"{_ONE}/cancel", "cancelTicket", "Drops a feature and the features that depend on it, unless the build continues without it",
              {200: ref("TicketWithRun")}, (409,), {**_REASON, "properties": {**_REASON["properties"], "go_on_without": BOOLEAN}}, optional=True),
    Operation("POST", f"{_ONE}/answer", "answerTicket", "Answers the question of its run", {200: ref("TicketWithRun")}, (409,),
              {**options(answer={**TEXT, "minLength": 1, "maxLength": 20_000}), "required": ["answer"]}),
    Operation("POST", f"{_ONE}/message", "tellTicket", "Sends a message to a ticket: its next attempt has it in its prompt",
              {200: ref("TicketWithRun")}, (409,),
              {**options(text={**TEXT, "minLength": 1, "maxLength": 20_000}), "required": ["text"]}),
    Operation("POST", f"{_ONE}/stop", "stopTicket", "Stops its run; the ticket then waits for you", {200: ref("TicketWithRun")}, (409,),
              {"type": "object"}, optional=True),
    Operation("POST", f"{_ONE}/waive", "waiveCriterion", "Waives the check of a criterion (its number, from 1); a failed ticket is retried",
              {200: ref("TicketWithRun")}, (409,), {**options(criterion=INTEGER, reason={**TEXT, "minLength": 1, "maxLength": 1000}),
                                                    "required": ["criterion", "reason"]}),
    Operation("POST", f"{_ONE}/edit", "editTicket", "Changes what it asks for, while it has no run; a failed ticket is retried",
              {200: ref("TicketWithRun")}, (409, 422), options(title=TEXT, description=TEXT, acceptance_criteria={"type": "array"})),
    Operation("GET", "/api/requests", "listRequests", "The open requests that wait for you", {200: ref("Requests")}),
    Operation("POST", "/api/forge/webhook", "forgeCalls", "A forge reports an event; the call is signed with SWARM_WEBHOOK_SECRET",
              {200: options(looked_at=INTEGER)}, (404,), {"type": "object"}),
    Operation("GET", "/api/engine", "getEngine", "The engine, its runtimes, agents and settings", {200: ref("Engine")}),
    Operation("POST", "/api/engine/pause", "pauseEngine", "Pauses the engine: nothing new starts", {200: ref("Engine")}, (), _REASON, optional=True),
    Operation("POST", "/api/engine/resume", "resumeEngine", "Resumes the engine", {200: ref("Engine")}, (), _REASON, optional=True),
    Operation("GET", "/api/secrets", "listSecrets", "The names of the stored secrets, which setups of environments may name", {200: _SECRETS}),
    Operation("PUT", "/api/secrets/{name}", "putSecret", "Stores a secret. Its value is never shown again", {200: _SECRETS}, (),
              {**options(value={**TEXT, "minLength": 8, "maxLength": 16_000, "writeOnly": True}), "required": ["value"]}),
    Operation("DELETE", "/api/secrets/{name}", "removeSecret", "Removes a secret", {200: _SECRETS}),
    Operation("GET", "/api/health", "getHealth", "Whether the server works", {200: ref("Health")}),
    Operation("GET", "/api/openapi.json", "getDescription", "This description", {200: {"type": "object"}}),
)
