"""Operations on sessions: create, list, talk, change the state, build."""
from hitl.api.openapi.operations import Operation, ref
from hitl.api.openapi.shapes import BOOLEAN, INTEGER, REVIEW, SHA256, TEXT, maybe, one_of, options

_ONE = "/api/hitl/{session_id}"
_LIMIT = {"type": "integer", "minimum": 1, "maximum": 500}
_AFTER = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_STATES = ("draft", "clarifying", "review", "approved", "building", "completed", "failed", "cancelled")
_NOTHING: dict[str, object] = {"type": "object"}

SESSIONS = (
    Operation("POST", "/api/hitl", "createSession", "Creates a session: in review if it has a valid card, otherwise a draft", {201: ref("Session")}, (422,),
              {**options(project_name={**TEXT, "minLength": 1, "maxLength": 200}, description={**TEXT, "maxLength": 100_000}, repository=maybe(TEXT),
                         review={**REVIEW, "description": "Whether you review changes before they are merged, if the card does not say"},
                         spec_card=maybe(ref("SpecCard"))), "required": ["project_name"]}),
    Operation("GET", "/api/hitl", "listSessions", "Sessions, newest first", {200: ref("SessionList")},
              query={"state": one_of(*_STATES), "limit": _LIMIT, "after": _AFTER}),
    Operation("GET", _ONE, "getSession", "One session", {200: ref("Session")}),
    Operation("GET", f"{_ONE}/messages", "getConversation", "The messages, questions and answers", {200: ref("Conversation")}),
    Operation("POST", f"{_ONE}/messages", "say", "Adds the idea or a later thought; in a draft it starts the interview. By default the description is used",
              {200: ref("Conversation")}, (409, 422), options(text={**TEXT, "maxLength": 100_000}), optional=True),
    Operation("GET", f"{_ONE}/questions", "getQuestions", "The interview: at most five questions, and the topics that the card does not cover",
              {200: ref("Questions")}),
    Operation("POST", _ONE + "/questions/{number}/answer", "answerQuestion",
              "Answers by choice (from 1) or text, or skips; skipping assumes the recommended answer. Answering an assumption revises it",
              {200: ref("Conversation")}, (409, 422),
              options(choice=INTEGER, text={**TEXT, "maxLength": 10_000}, skip=BOOLEAN,
                      rest={**BOOLEAN, "description": "With skip: also skips all later questions"})),
    Operation("POST", f"{_ONE}/approve", "approve", "review → approved, for the card with this hash; no question may be open",
              {200: ref("Session")}, (409, 422), {**options(spec_sha256=SHA256), "required": ["spec_sha256"]}),
    Operation("POST", f"{_ONE}/reopen", "reopen", "approved → review", {200: ref("Session")}, (409,), _NOTHING, optional=True),
    Operation("POST", f"{_ONE}/start-build", "startBuild", "approved → building: an epic and a ticket for each feature", {200: ref("Started")}, (409, 422),
              {**options(confirmed={"const": True}, spec_sha256=maybe(SHA256),
                         first_commit={**BOOLEAN, "description": "An empty repository may get a first commit. Otherwise the epic asks"}),
               "required": ["confirmed"]}),
    Operation("GET", f"{_ONE}/repository", "getSessionRepository", "The repository that the card names, as it is now, and what to do about it",
              {200: ref("Repository")}),
    Operation("POST", f"{_ONE}/pause", "pauseSession", "Pauses the build: nothing new starts", {200: ref("Session")}, (409,), _NOTHING, optional=True),
    Operation("POST", f"{_ONE}/resume", "resumeSession", "Resumes the build", {200: ref("Session")}, (409,), _NOTHING, optional=True),
    Operation("POST", f"{_ONE}/cancel", "cancelSession", "Any open state → cancelled, together with the open tickets", {200: ref("Session")}, (409,),
              options(reason={**TEXT, "minLength": 1, "maxLength": 1000}), optional=True),
    Operation("GET", f"{_ONE}/tickets", "listTickets", "Its tickets, the epic first", {200: ref("Tickets")}),
    Operation("GET", f"{_ONE}/board", "getBoard", "Its tickets in columns by who acts next", {200: ref("Board")}),
    Operation("GET", f"{_ONE}/evidence", "listEvidence", "The evidence for each criterion of its tickets", {200: ref("Evidence")},
              query={"after": _AFTER, "limit": {**_LIMIT, "maximum": 100}}),
    Operation("GET", f"{_ONE}/baseline", "getBaseline", "What each check of its card says at the base, before any work", {200: ref("Baseline")}),
    Operation("POST", f"{_ONE}/baseline", "startBaseline", "Before the build: runs each check of the card at the base", {200: ref("Baseline")}, (409,),
              options(times={**INTEGER, "minimum": 1, "maximum": 10, "description": "How often each check runs; more than once shows which are flaky"},
                      again={**BOOLEAN, "description": "Runs also what is known"}), optional=True),
    Operation("GET", f"{_ONE}/events", "listEvents", "Its journal after a cursor", {200: ref("Events")}, query={"after": _AFTER, "limit": _LIMIT}),
    Operation("GET", f"{_ONE}/deliveries", "listDeliveries", "The deliveries to the repository that its card names, and their progress",
              {200: ref("Deliveries")}),
    Operation("GET", f"{_ONE}/notes", "getNotes", "Its story so far", {200: ("text/markdown", TEXT)}),
    Operation("GET", f"{_ONE}/archive.zip", "getArchive", "The result: the integration branch as a zip file", {200: ("application/zip", {})}, (410,)),
)
