import pytest

from hitl.web import ansi


def test_a_colour_becomes_a_span_and_ends_with_its_reset():
    assert ansi.line("\x1b[31mno\x1b[0m yes") == '<span class="ansi-red">no</span> yes'


def test_bold_and_colour_share_one_span_and_a_new_colour_replaces_the_old():
    assert ansi.line("\x1b[1;32mok\x1b[33mhm\x1b[39m!") == (
        '<span class="ansi-bold ansi-green">ok</span><span class="ansi-bold ansi-yellow">hm</span><span class="ansi-bold">!</span>')


def test_bright_colours_are_the_plain_ones():
    assert ansi.line("\x1b[91mx") == '<span class="ansi-red">x</span>'


def test_markup_in_a_log_is_text():
    assert ansi.line("<script>alert('1')</script> & \"") == "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &#34;"


def test_markup_inside_a_colour_is_text():
    assert ansi.line('\x1b[31m"><img src=x>\x1b[m') == '<span class="ansi-red">&#34;&gt;&lt;img src=x&gt;</span>'


@pytest.mark.parametrize("hostile", [
    "\x1b]8;;javascript:alert(1)\x1b\\{}\x1b]8;;\x1b\\",   # a link
    "\x1b]52;c;ZXZpbA==\x07{}",                            # the clipboard
    "\x1b]0;title\x07{}",
    "\x1b[2J\x1b[1;1H{}\x1b[5A\x1b[K",                     # cursor moves and erasing
    "\x1bP$q\"p\x1b\\{}", "\x1b_apc\x1b\\{}", "\x1b^pm\x1b\\{}", "\x1bXsos\x1b\\{}",
    "\x9d0;title\x9c{}", "\x9b31;1H{}", "\x1b(B{}", "\x1b7{}\x1b8", "\x1bc{}",
    "\x1b[?1049h{}", "\x1b[38;5;196m{}", "\x1b[48;2;1;2;3m{}", "\x1b[>4;2m{}", "\x07\x08{}\x00\x7f", "{}\x1b", "{}\x1b[", "{}\x1b[31",
])
def test_every_other_sequence_is_dropped(hostile):
    assert ansi.line(hostile.format("seen")) == "seen"
    assert ansi.strip(hostile.format("seen")) == "seen"


def test_an_unended_string_takes_no_more_than_its_line():
    assert ansi.line("before\x1b]52;c;never ended") == "before"


def test_what_a_carriage_return_overwrote_is_not_shown():
    assert ansi.line("10 %\r50 %\r100 %\r\n") == "100 %"


def test_marks_that_reorder_text_are_shown_by_name():
    assert ansi.line("access = 'user\u202e ⁦// admin'") == "access = &#39;user[U+202E] [U+2066]// admin&#39;"


def test_tabs_stay():
    assert ansi.strip("a\tb") == "a\tb"


def test_a_very_long_line_is_cut_and_says_so():
    shown = ansi.line("x" * (ansi.LONGEST + 7))
    assert "x" * ansi.LONGEST in shown and "x" * (ansi.LONGEST + 1) not in shown and "7 more characters" in shown


def test_many_codes_cost_no_more_than_a_line_should():
    assert ansi.line("\x1b[" + ";".join(["1"] * 5000) + "mx").endswith("</span>")
