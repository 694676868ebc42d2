"""The colour tokens against each other, in both themes, by the formula of WCAG 2: text 4.5, borders of controls and glyphs 3."""
import re

import pytest

from engine.config import ROOT

CSS = ROOT / "hitl" / "static" / "shared" / "tokens.css"
PAIR = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
TOKENS = {name: {"light": light, "dark": dark} for name, light, dark in PAIR.findall(CSS.read_text(encoding="utf-8"))}
STATES = ("queued", "running", "needs-you", "review", "done", "failed", "stopped")
ANSI = tuple(name for name in TOKENS if name.startswith("ansi-"))


def luminance(colour: str) -> float:
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: str, share: float, ground: str) -> str:
    """color-mix(in srgb, colour share, ground)."""
    return "#" + "".join(f"{round(int(colour[at:at + 2], 16) * share + int(ground[at:at + 2], 16) * (1 - share)):02x}" for at in (1, 3, 5))


def test_the_formula_gives_the_known_extremes():
    assert contrast("#ffffff", "#000000") == pytest.approx(21) and contrast("#777777", "#777777") == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["bg", "surface", "raised"])
@pytest.mark.parametrize("ink", ["text", "muted", "accent", *STATES])
def test_text_can_be_read_on_every_ground(ink, ground, theme):
    assert contrast(TOKENS[ink][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["bg", "surface"])
def test_the_borders_of_controls_can_be_seen(ground, theme):
    assert contrast(TOKENS["control-line"][theme], TOKENS[ground][theme]) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_on_the_action_colour_and_the_count_can_be_read(theme):
    assert contrast(TOKENS["on-accent"][theme], TOKENS["accent"][theme]) >= 4.5
    assert contrast(TOKENS["surface"][theme], TOKENS["needs-you"][theme]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["add", "del"])
def test_code_can_be_read_on_added_and_removed_lines(ground, theme):
    assert contrast(TOKENS["text"][theme], TOKENS[ground][theme]) >= 4.5
    assert contrast(TOKENS["muted"][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["add-word", "del-word"])
def test_words_that_differ_can_be_read_and_seen(ground, theme):
    assert contrast(TOKENS["text"][theme], TOKENS[ground][theme]) >= 4.5
    assert contrast(TOKENS[ground][theme], TOKENS[ground.removesuffix("-word")][theme]) >= 1.15


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_a_state_can_be_read_on_its_own_tint(state, theme):
    ink = TOKENS[state][theme]
    assert contrast(ink, mixed(ink, 0.10, TOKENS["surface"][theme])) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ink", ANSI)
def test_the_colours_of_a_log_can_be_read(ink, theme):
    assert contrast(TOKENS[ink][theme], TOKENS["bg"][theme]) >= 4.5
    assert contrast(TOKENS[ink][theme], TOKENS["raised"][theme]) >= 4.5


def test_there_is_a_colour_for_every_one_of_a_terminal():
    assert len(ANSI) == 8
