"""Drafting without a model: what a text states becomes features, criteria, dependencies, requirements, and the same text the same card."""
import time

import pytest

from hitl.card.spec_card import validate
from hitl.drafting.drafters import Brief
from hitl.drafting.drafters.template import TemplateDrafter, card_of

SPEC = """# Feature Specification: Photo albums

**Feature Branch**: `001-photo-albums`
**Status**: Draft
**Input**: User description: "Albums"

## User Scenarios & Testing *(mandatory)*

<!-- ### User Story 9 - Not this one -->
### User Story 1 - Create albums (Priority: P1)

People group photos by date.

**Why this priority**: it is the core.

**Acceptance Scenarios**:

1. **Given** no album, **When** I create one, **Then** it is listed
2. **Given** an album, **When** I drop a photo, **Then** it
   is shown

---

### User Story 2 - Sort albums (Priority: P2)

As a user, I want to sort albums so that I find them.

### Edge Cases

- What happens when a photo is missing?

## Requirements *(mandatory)*

### Functional Requirements

- **FR-001**: System MUST store albums locally

## Success Criteria *(mandatory)*

### Measurable Outcomes

- **SC-001**: Users create an album in 10 s
"""
PRD = """# Invoices
## Overview
Small firms send invoices.
## Features
### PDF export
Makes a PDF.
- A4
Depends on: Invoice form
### Invoice form
#### Acceptance criteria
- Tax is computed (check: `python3 -m unittest`)
## Non-goals
- Payments
## Technical requirements
- Python 3.11
## Risks
- Rounding
## Checks
- `make test`
## Market
Big.
"""


def drafted(text):
    card = card_of("Idea", text)
    validate(card)
    return card


def titles(text):
    return [each["title"] for each in drafted(text)["features"]]


def test_a_sentence_is_one_feature_that_stands_for_all_of_it():
    assert drafted("Count words.") == {"name": "Idea", "description": "Count words.", "features": [{"title": "Idea"}]}


def test_a_numbered_list_is_features_and_what_is_under_them_criteria():
    card = drafted("Words:\n\n1. **Count**: all of them\n   - Empty files have none (check: `python3 t.py`)\n2. Print (depends on 1)\n3. Save, after all\n")
    assert card["features"] == [
        {"title": "Count", "description": "all of them", "acceptance_criteria": [{"text": "Empty files have none", "check": "python3 t.py"}]},
        {"title": "Print", "depends_on": ["Count"]}, {"title": "Save, after all"}]
    assert card["description"] == "Words:"


def test_stories_are_features_and_their_scenarios_criteria():
    card = drafted("As a writer, I want to count words so that I know when to stop.\n\nGiven a file\nWhen I count\nThen I see 3\nAnd no error\n\n"
                   "- As a reader, I can print a page.")
    assert [each["title"] for each in card["features"]] == ["Count words", "Print a page"]
    assert card["features"][0]["description"].startswith("As a writer") and card["features"][0]["acceptance_criteria"] == [
        "Given a file, When I count, Then I see 3, And no error"]


def test_gherkin_is_read_scenario_by_scenario():
    card = drafted("Feature: Login\n  Scenario: Good\n    Given a user\n    When she logs in\n    Then she is in\n  Scenario: Bad\n    Given a user\n"
                   "    When she errs\n    Then she is out\n\nFeature: Logout\n")
    assert titles("Feature: Login\nFeature: Logout") == ["Login", "Logout"] == [each["title"] for each in card["features"]]
    assert card["features"][0]["acceptance_criteria"] == ["Good: Given a user, When she logs in, Then she is in",
                                                          "Bad: Given a user, When she errs, Then she is out"]


def test_spec_kits_spec_is_read():
    card = drafted(SPEC)
    first, second = card["features"]
    assert (first["title"], first["priority"], second["title"], second["priority"]) == ("Create albums", 3, "Sort albums", 2)
    assert first["acceptance_criteria"] == ["Given no album, When I create one, Then it is listed", "Given an album, When I drop a photo, Then it is shown"]
    assert "People group photos" in first["description"] and second["description"].startswith("As a user")
    assert card["technical_requirements"] == ["FR-001: System MUST store albums locally", "SC-001: Users create an album in 10 s"]
    assert "Edge Cases:\n- What happens" in card["description"] and "Draft" not in card["description"]


def test_spec_kits_tasks_are_read_in_their_order():
    card = drafted("# Tasks\n## Phase 1: Setup\n- [ ] T001 Create the project\n- [ ] T002 [P] Configure lint\n- [ ] T003 [P] [US1] Configure tests\n"
                   "## Phase 2\n- [ ] T004 Model in src/a.py\n- [x] T005 Done before\n")
    assert [(each["title"], each.get("depends_on")) for each in card["features"]] == [
        ("Create the project", None), ("Configure lint", ["Create the project"]), ("Configure tests", ["Create the project"]),
        ("Model in src/a.py", ["Configure lint", "Configure tests"])]
    assert card["features"][0]["description"] == "Phase 1: Setup, T001"


def test_a_prd_is_read():
    card = drafted(PRD)
    assert card["features"] == [{"title": "PDF export", "description": "Makes a PDF.", "acceptance_criteria": ["A4"], "depends_on": ["Invoice form"]},
                                {"title": "Invoice form", "acceptance_criteria": [{"text": "Tax is computed", "check": "python3 -m unittest"}]}]
    assert card["technical_requirements"] == ["Python 3.11", "Risks: Rounding"] and card["checks"] == ["make test"]
    assert card["description"] == "Small firms send invoices.\n\nMarket\nBig.\n\nOut of scope: Payments"


def test_headings_or_bullets_are_features_where_nothing_else_is():
    assert titles("# Thing\n## Parse dates\nISO.\n## Show calendar\n") == ["Parse dates", "Show calendar"]
    assert titles("It needs:\n- parse dates\n- show calendar") == ["Parse dates", "Show calendar"]
    assert titles("It needs:\n- parse dates") == ["Idea"]


def test_code_stays_as_it_is():
    card = drafted("1. Hello\n\n```sh\nprintf '1. x\\n' > a\n```\n\n2. Bye")
    assert card["features"] == [{"title": "Hello", "description": "```sh\nprintf '1. x\\n' > a\n```"}, {"title": "Bye"}]


def test_repository_branch_and_checks_are_read():
    card = drafted("Repository: owner/repo\nBase branch: `develop`\nCheck: `make test`\n")
    assert (card["repository"], card["base_branch"], card["checks"]) == ("owner/repo", "develop", ["make test"])


def test_the_same_title_twice_and_a_circle_are_made_valid():
    assert titles("1. Save\n2. Save\n3. save") == ["Save", "Save (2)", "Save (3)"]
    card = drafted("1. A (depends on 2)\n2. B (depends on 3)\n3. C (depends on 1)\n4. D (depends on 4, nothing)")
    assert [each.get("depends_on") for each in card["features"]] == [["B"], ["C"], None, None]


def test_answers_and_what_the_present_card_has_are_kept():
    brief = Brief("Idea", "Count words.", (("technical", "?", "Python"),), {"name": "X", "features": [], "review": True, "repository": "o/r", "own": 1})
    card = TemplateDrafter().draft(brief).card
    assert card == {"name": "Idea", "description": "Count words.", "features": [{"title": "Idea"}], "technical_requirements": ["Python"],
                    "review": True, "repository": "o/r", "own": 1}
    assert TemplateDrafter().draft(brief).card == card


@pytest.mark.parametrize("text", ["", "#", "# \n## \n", "- ", "1.", "```", "<!--", "Given", "As a", "* * *", "1. " + "x" * 5000, "[" * 1000, "**" * 999,
                                  "Feature:", "T001", "- [ ] T001 [P]", "Depends on: 1", "(depends on", "\\" * 50, "1. a (check: ``)", "ﬀ\n1. ﬀ\n2. ff"])
def test_whatever_is_written_becomes_a_valid_card(text):
    assert drafted(text)["features"]


@pytest.mark.parametrize("line", ["1. As a user, I want " + "so that " * 200, "- " + "(depends on " * 300, "**" * 5000, "# " + " #" * 5000,
                                  "1. " + "a, " * 5000 + "(check: `", "As a " + "x" * 30_000, " " * 100_000 + "x", "<!--" * 20_000])
def test_no_line_takes_long(line):
    began = time.process_time()
    drafted("\n".join([line] * 3))
    assert time.process_time() - began < 2
