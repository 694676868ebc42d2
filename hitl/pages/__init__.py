"""The pages. Each module serves one page: it collects the values and renders them.

Each form works without JavaScript: POST, then 303 to the page that shows the outcome. After an error the form's page comes back with the error's
status, the error and the typed text."""
from typing import cast

from flask import Blueprint, Flask
from flask.blueprints import BlueprintSetupState

from hitl.pages import amend, card, engine, help, home, inbox, interview, notes, review, review_parts, session, ticket, ticket_history, ticket_log
from hitl.pages.repositories import actions as repository_actions
from hitl.pages.repositories import list as repository_list
from hitl.pages.repositories import page as repository_page
from hitl.web import filters

pages = Blueprint("pages", __name__)
for page in (home, inbox, session, interview, card, amend, notes, ticket, ticket_log, ticket_history, review, review_parts, repository_list, repository_page,
             repository_actions, engine, help):
    pages.register_blueprint(page.routes)


@pages.record
def _install(state: BlueprintSetupState) -> None:
    filters.install(cast(Flask, state.app))
