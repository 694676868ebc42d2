"""Operations on the spec card and its amendments."""
from typing import Any

from hitl.api.openapi.operations import Operation, ref
from hitl.api.openapi.shapes import SHA256, TEXT, listed, one_of, options

_ONE = "/api/hitl/{session_id}"
_CARD = f"{_ONE}/spec-card"
_VERSION = {"type": "integer", "minimum": 0, "maximum": 10**9}
_BASE: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "description": "The version that you changed; 0: there was none"}
_INDEX: dict[str, Any] = {"type": "integer", "minimum": 0}
_EDIT = {**options(op=one_of("set", "add", "remove", "move", "split"), path={**TEXT, "examples": ["features[0].title"]}, value={}, at=_INDEX, to=_INDEX,
                   title=TEXT, description=TEXT, criteria=listed(_INDEX)), "required": ["op", "path"]}
_PUT = {"anyOf": [ref("SpecCard"), {**options(spec_card=ref("SpecCard"), base_version=_BASE), "required": ["spec_card"]}]}
_DELTA = options(add=listed(ref("Feature")), drop=listed(TEXT),
                 change=listed({**options(ticket=TEXT, set={"type": "object"}), "required": ["ticket", "set"]}))

CARD = (
    Operation("GET", _CARD, "getCard", "The card as it is now", {200: ref("Card")}, (422,), tagged=True),
    Operation("PUT", _CARD, "putCard", "Saves a new version of the card; the session is then in review", {200: ref("Saved")}, (409, 422), _PUT,
              if_match=True, tagged=True),
    Operation("PATCH", _CARD, "editCard", "Edits single properties, in order, all or none", {200: ref("Changed")}, (409, 422),
              {**options(edits={"type": "array", "items": _EDIT, "minItems": 1, "maxItems": 500}, base_version=_BASE), "required": ["edits"]},
              if_match=True, tagged=True),
    Operation("POST", f"{_CARD}/import", "importCard", "Imports a whole card from Markdown (a PRD, spec.md, tasks.md) or from JSON",
              {200: ref("Changed")}, (409, 422),
              options(markdown={**TEXT, "maxLength": 1_000_000}, spec_card=ref("SpecCard"), base_version=_BASE), if_match=True, tagged=True),
    Operation("GET", f"{_CARD}/export", "exportCard", "The card as a file", {200: {}}, (422,)),
    Operation("POST", f"{_ONE}/draft", "draftCard", "Writes the card again from the whole conversation; auto: by the model if one is configured",
              {200: ref("Drafted")}, (409, 422), options(drafter=one_of("auto", "template", "model"), base_version=_BASE), optional=True,
              if_match=True, tagged=True),
    Operation("GET", f"{_CARD}/versions", "listVersions", "All versions, newest first", {200: ref("Versions")}),
    Operation("GET", _CARD + "/versions/{version}", "getVersion", "One version", {200: ref("Version")}),
    Operation("GET", f"{_CARD}/diff", "diffVersions", "The differences between two versions; 0 is the empty card", {200: ref("Diff")},
              query={"from": _VERSION, "to": _VERSION}),
    Operation("POST", f"{_ONE}/amend", "proposeAmendment", "During the build: proposes to add features, and to change or drop features that have not started",
              {200: ref("Amendments")}, (409, 422), _DELTA),
    Operation("GET", f"{_ONE}/amendment", "getAmendment", "The proposal, and the decided earlier ones", {200: ref("Amendments")}),
    Operation("POST", f"{_ONE}/amendment/approve", "approveAmendment", "Approves the proposal with this hash; card and tickets are updated at once",
              {200: ref("Amendments")}, (409, 422), {**options(sha256=SHA256), "required": ["sha256"]}),
    Operation("POST", f"{_ONE}/amendment/discard", "discardAmendment", "Discards the proposal", {200: ref("Amendments")}, (409,), {"type": "object"},
              optional=True),
)
