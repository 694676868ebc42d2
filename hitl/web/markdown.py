"""A small, safe part of Markdown as HTML: headings, paragraphs, quotes, lists, fenced code, rules; `code`, **strong**, *emphasis*.

Everything else is text: HTML, links and images are shown as they are written. Markup is built only by escaping."""
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from hitl.web.ansi import visible

SHIFT, DEEPEST = 2, 6  # '#' is an h3: the page has its h1 and the panel its h2
_ITEM = re.compile(r"( *)(?:[-*+]|(\d{1,9})[.)]) +(.*)")
_INLINE = re.compile(r"`{9,}|\\([!-/:-@\[-`{-~])|(`+)(.{1,400}?)\2(?!`)|\*\*(?=\S)(.{1,400}?)(?<=\S)\*\*|(?<![\w*])[*_](?=\S)([^*_]{1,400}?)(?<=\S)[*_](?!\w)")


def html(text: str) -> Markup:
    """A whole document as HTML."""
    lines = [visible(line) for line in text.replace("\r\n", "\n").split("\n")]
    return Markup("\n").join(_blocks(lines))


def inline(text: str) -> Markup:
    """The text of one paragraph as HTML: escapes, code, strong and emphasis."""
    parts, end = [], 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[end:found.start()]))
        escaped, _, code, strong, emphasis = found.groups()
        if escaped is not None:
            parts.append(escape(escaped))
        elif code is not None:
            parts.append(Markup("<code>%s</code>") % code.strip())
        elif strong is None and emphasis is None:
            parts.append(escape(found[0]))  # a line of backticks, which marks nothing
        else:
            parts.append(Markup("<strong>%s</strong>" if strong is not None else "<em>%s</em>") % inline(strong or emphasis))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _blocks(lines: list[str]) -> Iterator[Markup]:
    at = 0
    level = SHIFT
    while at < len(lines):
        line = lines[at]
        fence = re.match(r" {0,3}(`{3,}|~{3,})", line)
        heading = re.match(r"(#{1,6}) +(.*)", line)
        if fence:
            stop = _fence_end(lines, at + 1, fence[1])
            yield Markup('<pre class="code-block" tabindex="0" aria-label="Code">%s</pre>') % "\n".join(lines[at + 1:stop])
            at = stop + 1
        elif heading:
            level = min(len(heading[1]) + SHIFT, level + 1, DEEPEST)
            yield Markup(f"<h{level}>%s</h{level}>") % inline(heading[2].rstrip(" #"))
            at += 1
        elif line.startswith(">"):
            stop = _until(lines, at, lambda each: not each.startswith(">"))
            yield Markup("<blockquote>%s</blockquote>") % Markup("").join(_paragraphs([each[1:].removeprefix(" ") for each in lines[at:stop]]))
            at = stop
        elif _ITEM.fullmatch(line):
            stop = _until(lines, at + 1, lambda each: not (_ITEM.fullmatch(each) or (each.startswith("  ") and each.strip())))
            yield _list(lines[at:stop])
            at = stop
        elif re.fullmatch(r" {0,3}(?:-{3,}|\*{3,}|_{3,})\s*", line):
            yield Markup("<hr>")
            at += 1
        elif line.strip():
            stop = _until(lines, at + 1, lambda each: not each.strip() or re.match(r"#{1,6} |>|`{3}|~{3}", each) or _ITEM.fullmatch(each))
            yield from _paragraphs(lines[at:stop])
            at = stop
        else:
            at += 1


def _fence_end(lines: list[str], start: int, mark: str) -> int:
    return _until(lines, start, lambda each: each.strip().startswith(mark) and not each.strip().strip(mark[0]))


def _until(lines: list[str], start: int, ends: Callable[[str], object]) -> int:
    return next((place for place in range(start, len(lines)) if ends(lines[place])), len(lines))


def _paragraphs(lines: list[str]) -> Iterator[Markup]:
    for part in re.split(r"\n(?:\s*\n)+", "\n".join(lines)):
        if part.strip():
            yield Markup("<p>%s</p>") % Markup("<br>").join(inline(line) for line in part.strip("\n").split("\n"))


@dataclass
class _Item:
    """texts: of its line and of those that continue it."""

    texts: list[str]
    is_numbered: bool
    below: list["_Item"] = field(default_factory=list)


def _list(lines: list[str]) -> Markup:
    """A list as HTML, nested by indentation. A line that starts no item continues the item before it."""
    root: list[_Item] = []
    stack: list[tuple[int, list[_Item]]] = [(-1, root)]
    for line in lines:
        found = _ITEM.fullmatch(line)
        if found is None:
            stack[-1][1][-1].texts.append(line.strip())
            continue
        depth = len(found[1])
        while len(stack) > 1 and depth < stack[-1][0]:
            stack.pop()
        if depth > stack[-1][0] and stack[-1][1]:
            stack.append((depth, stack[-1][1][-1].below))
        elif len(stack) == 1:
            stack[0] = (depth, root)
        stack[-1][1].append(_Item([found[3]], found[2] is not None))
    return _items(root)


def _items(items: list[_Item]) -> Markup:
    """Without recursion, because a document decides how deep its lists are."""
    parts: list[Markup] = []
    pending: list[Markup | list[_Item]] = [items]  # what comes next is last
    while pending:
        following = pending.pop()
        if isinstance(following, Markup):
            parts.append(following)
            continue
        tag = "ol" if following[0].is_numbered else "ul"
        parts.append(Markup(f"<{tag}>"))
        pending.append(Markup(f"</{tag}>"))
        for item in reversed(following):
            pending += [Markup("</li>"), *([item.below] if item.below else ()), Markup("<li>%s") % inline(" ".join(item.texts))]
    return Markup("").join(parts)
