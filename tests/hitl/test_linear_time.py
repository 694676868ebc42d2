"""What people paste is read, drafted, shown and compared in a time that grows with its length: no shape of text makes it grow with the square."""
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import BadRequest
from hitl.card import diff_in_words
from hitl.card.diff import diff
from hitl.card.opcodes import opcodes
from hitl.drafting.drafters import phrases
from hitl.drafting.drafters.outline import blocks
from hitl.drafting.drafters.parts import Part, features
from hitl.drafting.drafters.template import add_text, card_of
from hitl.web import strict_json
from hitl.web.markdown import html

TIMES = 4       # as long as the small input: the time may be about so many times as long, and is 16 times as long if it grows with the square
MOST = 2.2 * TIMES


def growth(work: Callable[[Any], object], shape: Callable[[int], Any], size: int) -> float:
    """How many times as long an input of TIMES the size takes, in CPU time of this thread: the least of some measures, so that a busy machine has no say."""
    small, large = shape(size), shape(TIMES * size)
    work(small)
    gc.disable()
    try:
        return min(_seconds(work, large) / min(_seconds(work, small) for _ in range(5)) for _ in range(3))
    finally:
        gc.enable()


def _seconds(work: Callable[[Any], object], given: Any) -> float:
    since = time.thread_time()
    work(given)
    return time.thread_time() - since


def items(line: str) -> Callable[[int], str]:
    return lambda size: "# T\n## Features\n" + line * size


TEXTS: dict[str, Callable[[int], str]] = {
    "equal items": items("- same\n"),
    "equal titles of another number": items("- same\n- same (7)\n"),
    "equal headings": items("### Same\n\n- criterion\n\n"),
    "equal tasks": lambda size: "- [ ] T001 do\n" * size,
    "a scenario without an end": lambda size: "# T\n## Feature: A\nGiven a\n" + "And something else\n" * size,
    "a list of notes": lambda size: "# T\n## Notes\n" + "- note\n" * size,
    "everything depends on the last": lambda size: items("")(0) + "".join(f"- F{n} (depends on F{size - 1}, F{n - 1}, F{n - 2})\n" for n in range(size)),
    "a circle": lambda size: items("")(0) + "".join(f"- F{n} (depends on F{(n or size) - 1})\n" for n in range(size)),
    "spaces in a heading": lambda size: "## a" + " " * 8 * size + "b\n",
    "spaces after a word": lambda size: "- priority" + " " * 8 * size + "x\n",
    "commas": lambda size: ("- x " + "," * 1100 + "x\n") * (size // 50),
}
SHOWN: dict[str, Callable[[int], str]] = {
    "spaces in a heading": TEXTS["spaces in a heading"],
    "marks in a heading": lambda size: "## a " + "#" * 8 * size + "b\n",
    "backticks": lambda size: "Repository: " + "`" * 4 * size + "\n",
    "open marks": lambda size: "- " + "**a *b `c " * size,
    "deep lists": lambda size: "".join(" " * depth + "- item\n" for depth in range(size // 5)) + "- x\n" * size,
    "quotes": lambda size: "> a\n>    \n" * size,
}


@pytest.mark.parametrize("shape", TEXTS)
def test_drafting_grows_with_the_text(shape: str) -> None:
    assert growth(lambda text: card_of("T", text), TEXTS[shape], 1500) < MOST


@pytest.mark.parametrize("shape", SHOWN)
def test_showing_markdown_grows_with_the_text(shape: str) -> None:
    assert growth(html, SHOWN[shape], 2000) < MOST


def test_adding_criteria_to_a_feature_that_has_many_grows_with_both() -> None:
    def shape(size: int) -> str:
        return "# T\n## Features\n### A\n" + "".join(f"- criterion {n} (check: `true`)\n" for n in range(size))

    assert growth(lambda text: add_text(card_of("T", text), text), shape, 1000) < MOST


def test_spaces_in_what_may_be_a_dependency_are_read_once() -> None:
    assert growth(lambda text: [phrases.take_depends(text) for _ in range(200)], lambda size: "x (needs" + " " * size + "(", 90) < MOST


ENTRIES: dict[str, Callable[[int], tuple[list[str], list[str]]]] = {
    "equal": lambda size: (["a"] * size, ["a", "b"] * (size // 2)),
    "every second one changed": lambda size: ([str(n) for n in range(size)], [str(n if n % 2 else -n) for n in range(size)]),
    "backwards": lambda size: ([str(n) for n in range(size)], [str(n) for n in reversed(range(size))]),
}


@pytest.mark.parametrize("shape", ENTRIES)
def test_comparing_grows_with_what_is_compared(shape: str) -> None:
    def cards(size: int) -> list[dict[str, Any]]:
        return [{"technical_requirements": side, "description": "\n".join(side)} for side in ENTRIES[shape](size)]

    assert growth(lambda both: diff_in_words.shown(diff(*both)), cards, 1500) < MOST


def test_words_for_many_changes_of_different_kinds_grow_with_them() -> None:
    assert growth(lambda card: diff_in_words.summary(diff({}, card)), lambda size: {f"key {n}": n for n in range(size)}, 1500) < MOST


def test_a_string_without_its_end_is_refused_in_one_look() -> None:
    def parse(body: bytes) -> None:
        with pytest.raises(BadRequest):
            strict_json.parse(body)

    assert growth(parse, lambda size: b'["' + b'\\"' * size, 3000) < MOST
    assert growth(parse, lambda size: b'["' + b'\\"' * size + b"\\", 3000) < MOST


def test_a_string_without_its_end_hides_no_nesting_and_shows_none() -> None:
    with pytest.raises(BadRequest, match="Unterminated string"):
        strict_json.parse(b'["' + b"[" * 200)
    with pytest.raises(BadRequest, match="nested deeper"):
        strict_json.parse(b"[" * 200 + b'"')


def test_a_list_of_any_depth_is_shown_whole() -> None:
    shown = str(html("".join(" " * depth + f"{depth}. item\n" for depth in range(3000))))
    assert shown.count("<ol><li>item") == shown.count("</li></ol>") == 3000


def test_equal_titles_get_the_next_free_number() -> None:
    titles = ["Same", "same (2)", "Same", "SAME", "Same", "Same (3)", "Same (2)"]
    assert [each["title"] for each in features([Part(title) for title in titles])] == [
        "Same", "same (2)", "Same (3)", "SAME (4)", "Same (5)", "Same (3) (2)", "Same (2) (2)"]


def test_dependencies_that_close_a_circle_are_left_out_and_no_others() -> None:
    card = card_of("T", "## Features\n- A (depends on C)\n- B (depends on A, D)\n- C (depends on B, D)\n- D (depends on D, E)\n- E\n")
    assert [each.get("depends_on", []) for each in card["features"]] == [["C"], ["A", "D"], ["D"], ["E"], []]


def test_an_item_between_the_lines_of_a_scenario_is_kept() -> None:
    (feature,) = card_of("T", "## Features\n### A\n- Given a\n- a list\n- When b\n- Then c\n")["features"]
    assert feature["acceptance_criteria"] == ["Given a, When b, Then c", "a list"]


def test_an_item_of_many_lines_is_one_block() -> None:
    (block,) = blocks("- one\n  two\nthree\n")
    assert block.text == "one two three"


@pytest.mark.parametrize("shape", ENTRIES)
@pytest.mark.parametrize("size", [3, 30, 700])
def test_opcodes_turn_the_first_list_into_the_second(shape: str, size: int) -> None:
    before, after = ENTRIES[shape](size)
    before, after = ["head", *before, "tail"], ["head", "more", *after, "tail"]
    found, place = [], 0
    for what, i, i_end, j, j_end in opcodes(before, after):
        assert (i, j) == (place, len(found))
        found += before[i:i_end] if what == "equal" else after[j:j_end]
        place = i_end
    assert found == after and place == len(before)


def test_a_small_change_in_a_long_text_is_a_small_change() -> None:
    lines = [str(n % 50 if n % 3 else n) for n in range(20_000)]
    changed = [*lines[:9000], "new", *lines[9000:12_000], *lines[12_001:]]
    assert [each for each in opcodes(lines, changed) if each[0] != "equal"] == [("insert", 9000, 9000, 9000, 9001), ("delete", 12_000, 12_001, 12_001, 12_001)]
