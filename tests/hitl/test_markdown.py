"""Notes as a page: a small part of Markdown becomes HTML, everything else is text, whatever it says."""
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paging import Page

from hitl.web.markdown import html, inline


@pytest.mark.parametrize("source, expected", [
    ("# T", "<h3>T</h3>"), ("a\nb", "<p>a<br>b</p>"), ("> q\n> \n> r", "<blockquote><p>q</p><p>r</p></blockquote>"),
    ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"), ("1. a\n   - b", "<ol><li>a<ul><li>b</li></ul></li></ol>"),
    ("- a\n  goes on", "<ul><li>a goes on</li></ul>"), ("---", "<hr>"),
    ("```sh\n<b>\n```", '<pre class="code-block" tabindex="0" aria-label="Code">&lt;b&gt;</pre>')])
def test_blocks(source, expected):
    assert html(source) == expected


@pytest.mark.parametrize("source, expected", [
    (r"\*a\* \<b\>", "*a* &lt;b&gt;"), ("`a <b>`", "<code>a &lt;b&gt;</code>"), ("**s** and *e* and _f_", "<strong>s</strong> and <em>e</em> and <em>f</em>"),
    ("snake_case_name 2*3*4", "snake_case_name 2*3*4"), ("<https://x>", "&lt;https://x&gt;"), ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
    ("![x](y)", "![x](y)"), ("<b> *x* <i>", "&lt;b&gt; <em>x</em> &lt;i&gt;"),
    ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"), ("**`<i>`**", "<strong><code>&lt;i&gt;</code></strong>")])
def test_lines(source, expected):
    assert inline(source) == expected


def test_headings_go_down_one_step_at_a_time():
    assert html("# a\n### b\n## c\n####### d") == "<h3>a</h3>\n<h4>b</h4>\n<h4>c</h4>\n<p>####### d</p>"


@given(st.text(alphabet="ab<>&\"'`*_#-+>1. \n\\~[]()\u202e\x1b", max_size=200))
def test_whatever_is_written_gives_elements_of_this_page_alone_and_closes_them(source):
    page = Page(html(source))
    assert {name for name, _ in page.elements} <= {"h3", "h4", "h5", "h6", "p", "br", "blockquote", "ul", "ol", "li", "hr", "pre", "code", "strong", "em"}
    assert all(name == "pre" for name, attrs in page.elements if attrs)


@pytest.mark.parametrize("source", ["**a " * 25_000, "`" * 50_000, "*a " * 30_000, "> " * 50_000, "- a\n" * 20_000, "`a" * 50_000, "_" * 50_000])
def test_a_long_text_takes_no_long_time(source):
    began = time.process_time()
    html(source)
    assert time.process_time() - began < 5
