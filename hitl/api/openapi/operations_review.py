"""Operations on the review of a ticket's change."""
from hitl.api.openapi.operations import Operation, ref
from hitl.api.openapi.shapes import BOOLEAN, TEXT, one_of, options

_ONE = "/api/tickets/{ticket_id}"
_TIP = {**TEXT, "minLength": 1, "maxLength": 64, "description": "The commit that was looked at. Another one is in review by now: 409, code tip_moved."}
_PATH = {**TEXT, "minLength": 1, "maxLength": 5000}
_LINE = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}

REVIEW = (
    Operation("GET", f"{_ONE}/review", "getReview", "What it changed, with comments and what was seen of it; since: a commit that was reviewed before",
              {200: ref("Review")}, query={"since": TEXT, "space": {**one_of("hide"), "description": "Without what differs in white space alone"}}),
    Operation("GET", f"{_ONE}/comments", "listComments", "Comments on its lines, drafts among them", {200: ref("Comments")}),
    Operation("POST", f"{_ONE}/comments", "draftComment", "A draft on one line, in the place of the one that is there", {201: ref("Comment")}, (409,),
              {**options(tip=_TIP, path=_PATH, side={**one_of("L", "R"), "description": "L: the line before the change; R: after it, the default"},
                         line=_LINE, body={**TEXT, "minLength": 1, "maxLength": 10_000}), "required": ["tip", "path", "line", "body"]}),
    Operation("DELETE", _ONE + "/comments/{comment}", "discardComment", "A draft is taken back", {200: ref("Comments")}, (409,)),
    Operation("POST", f"{_ONE}/viewed", "markViewed", "A file was seen, or not (viewed: false)", {200: ref("Review")}, (409,),
              {**options(tip=_TIP, path=_PATH, viewed=BOOLEAN), "required": ["tip", "path"]}),
    Operation("POST", f"{_ONE}/approve", "approveChange", "This commit was looked at: merge it", {200: ref("TicketWithRun")}, (409,),
              {**options(tip=_TIP), "required": ["tip"]}),
    Operation("POST", f"{_ONE}/request-changes", "requestChanges", "It is to be done differently: words on the whole, the drafts on its lines, or both",
              {200: ref("TicketWithRun")}, (409,), options(comments={**TEXT, "maxLength": 20_000}, tip=_TIP)),
)
