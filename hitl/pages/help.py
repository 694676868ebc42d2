"""The page of keyboard shortcuts, and the settings that the browser keeps: shortcuts on or off, and the theme."""
import json
import re

from flask import Blueprint, Response, current_app

from hitl.pages.frame import render
from hitl.web.forms import go, typed_text

routes = Blueprint("help", __name__)
YEAR = 365 * 24 * 3600


@routes.get("/help/keys")
def keys() -> str:
    """Shows the table that keys.js uses."""
    with open(f"{current_app.root_path}/static/shared/keys.json", encoding="utf-8") as file:
        entries = json.load(file)
    scopes = dict.fromkeys(entry["scope"] for entry in entries)
    return render("help/keys.html", "keys", table=[(scope, [entry for entry in entries if entry["scope"] == scope]) for scope in scopes])


@routes.post("/help/keys")
def shortcuts() -> Response:
    response = go("/help/keys")
    if typed_text("shortcuts") == "on":
        response.delete_cookie("shortcuts")
    else:
        response.set_cookie("shortcuts", "off", max_age=YEAR, samesite="Lax", httponly=True)
    return response


@routes.post("/theme")
def theme() -> Response:
    wanted, where = typed_text("theme"), typed_text("next")
    response = go(where if re.match(r"/(?![/\\])", where) and "\\" not in where else "/")
    if wanted in ("light", "dark"):
        response.set_cookie("theme", wanted, max_age=YEAR, samesite="Lax", httponly=True)
    else:
        response.delete_cookie("theme")
    return response
