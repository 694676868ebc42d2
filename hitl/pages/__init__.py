"""The pages: one module a page, which routes, gathers and renders.

Each form works without JavaScript: POST, then 303 to the page that shows the outcome; an error comes back on the page that the form was on, with
its status and with what was typed."""
from typing import cast

from flask import Blueprint, Flask
from flask.blueprints import BlueprintSetupState

from hitl.pages import amend, card, engine, help, home, inbox, interview, notes, review, review_parts, session, ticket, ticket_history, ticket_log
from hitl.web import filters

pages = Blueprint("pages", __name__)
for page in (home, inbox, session, interview, card, amend, notes, ticket, ticket_log, ticket_history, review, review_parts, engine, help):
    pages.register_blueprint(page.routes)


@pages.record
def _install(state: BlueprintSetupState) -> None:
    filters.install(cast(Flask, state.app))
