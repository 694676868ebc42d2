"""Operations on the review of a ticket's change."""
from hitl.api.openapi.operations import Operation, ref
from hitl.api.openapi.shapes import BOOLEAN, TEXT, one_of, options

_ONE = "/api/tickets/{ticket_id}"
_TIP = {**TEXT, "minLength": 1, "maxLength": 64,
        "description": "The commit that you looked at. If another commit is in review now, the answer is 409 with code tip_moved."}
_PATH = {**TEXT, "minLength": 1, "maxLength": 5000}
_LINE = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}

REVIEW = (
    Operation("GET", f"{_ONE}/review", "getReview", "The change of a ticket with comments and viewed files; since: a commit that was reviewed before",
              {200: ref("Review")}, query={"since": TEXT, "space": {**one_of("hide"), "description": "Leaves out lines that differ only in white space"}}),
    Operation("GET", f"{_ONE}/comments", "listComments", "Comments on its lines, drafts among them", {200: ref("Comments")}),
    Operation("POST", f"{_ONE}/comments", "draftComment", "Saves a draft on one line and replaces an earlier draft there", {201: ref("Comment")}, (409,),
              {**options(tip=_TIP, path=_PATH, side={**one_of("L", "R"), "description": "L: the line before the change; R: after it, the default"},
                         line=_LINE, body={**TEXT, "minLength": 1, "maxLength": 10_000}), "required": ["tip", "path", "line", "body"]}),
    Operation("DELETE", _ONE + "/comments/{comment}", "discardComment", "Discards a draft", {200: ref("Comments")}, (409,)),
    Operation("POST", f"{_ONE}/viewed", "markViewed", "Marks a file as viewed, or as not viewed (viewed: false)", {200: ref("Review")}, (409,),
              {**options(tip=_TIP, path=_PATH, viewed=BOOLEAN), "required": ["tip", "path"]}),
    Operation("POST", f"{_ONE}/approve", "approveChange", "Approves this commit, which is then merged", {200: ref("TicketWithRun")}, (409,),
              {**options(tip=_TIP), "required": ["tip"]}),
    Operation("POST", f"{_ONE}/request-changes", "requestChanges", "Sends the change back: with a general comment, the drafts on its lines, or both",
              {200: ref("TicketWithRun")}, (409,), options(comments={**TEXT, "maxLength": 20_000}, tip=_TIP)),
)
