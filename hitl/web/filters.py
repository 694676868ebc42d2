"""The template filters for times, numbers and states, registered by install(). Each filter takes raw values; Markup is built by escaping."""
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Flask
from markupsafe import Markup

from hitl.web.ansi import strip, visible

# state -> (glyph and class, word). One table for tickets, sessions, runs and requests. The board uses the same words.
STATES = {
    "pending": ("queued", "Not released"), "blocked": ("queued", "Waiting"), "ready": ("queued", "Queued"),
    "claimed": ("running", "Starting"), "running": ("running", "Running"), "merging": ("running", "Merging"), "intended": ("running", "Starting"),
    "queued": ("running", "Waits to merge"),
    "needs_input": ("needs-you", "Question"), "in_review": ("review", "In review"),
    "completed": ("done", "Done"), "failed": ("failed", "Failed"), "cancelled": ("cancelled", "Cancelled"),
    "draft": ("needs-you", "Idea"), "clarifying": ("needs-you", "Questions"), "review": ("needs-you", "Spec"),
    "approved": ("needs-you", "Approved"), "building": ("running", "Building"), "paused": ("cancelled", "Paused"), "held": ("needs-you", "Blocked"),
    "question": ("needs-you", "Question"), "isolation": ("needs-you", "No isolation"), "budget": ("needs-you", "Budget used up"),
    "provider": ("needs-you", "Provider refuses"), "repository": ("needs-you", "Repository"),
    "delivery": ("needs-you", "Delivery"), "environment": ("needs-you", "Environment"), "baseline": ("needs-you", "Checks at the base"),
    "base": ("needs-you", "Base branch"), "permission": ("needs-you", "Permission"),
    "open": ("needs-you", "Open"),
    "answered": ("done", "Answered"), "withdrawn": ("cancelled", "Withdrawn"),
    "prepared": ("done", "Prepared"), "merged": ("done", "Merged"), "no_change": ("done", "No change"), "integrated": ("done", "Checked as a whole"),
    "delivered": ("done", "Delivered"), "conflict": ("review", "Conflict, retries"), "transient": ("review", "Retries"),
    "lost": ("failed", "Lost"), "over_budget": ("needs-you", "Over budget"), "void": ("cancelled", "Never started"), "stale": ("cancelled", "Outdated"),
    "passed": ("done", "passed"), "unchecked": ("review", "not checked by a command"), "waiting": ("queued", "not checked yet"),
    "waived": ("cancelled", "waived"),
    "wanted": ("queued", "Waits for a slot"), "done": ("done", "Done"), "brief": ("cancelled", "Brief only"),
    "on": ("done", "On"), "off": ("cancelled", "Off"), "elsewhere": ("review", "Elsewhere"),
}


def install(app: Flask) -> None:
    filters = {"glyph": glyph, "word": word, "when": when, "clock": clock, "duration": duration, "number": number, "size": size,
               "plain": strip, "text": text, "blocks": blocks, "short": short, "oneline": oneline, "weblink": weblink}
    app.jinja_env.filters.update(filters)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def glyph(state: str) -> str:
    return STATES.get(state, ("queued", state))[0]


def word(state: str) -> str:
    return STATES.get(state, ("queued", state.replace("_", " ").capitalize()))[1]


def parse(text: str) -> datetime | None:
    """A time as the store writes it (UTC), or None if the text is not a time."""
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def when(text: str | None, suffix: str = " ago") -> Markup:
    """'6 min ago', as <time> with the exact time in its title. suffix='' gives '6 min'."""
    moment = parse(text or "")
    if moment is None:
        return Markup.escape(text or "–")
    return _time(moment, relative(moment, datetime.now(UTC), suffix), "ago" if suffix else "span")


def clock(text: str | None) -> Markup:
    """'14:08:04' as <time>."""
    moment = parse(text or "")
    return Markup.escape(text or "–") if moment is None else _time(moment, f"{moment:%H:%M:%S}", "clock")


def _time(moment: datetime, shown: str, form: str) -> Markup:
    return Markup('<time datetime="{}" title="{} UTC" data-form="{}">{}</time>').format(
        f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S}", form, shown)


def relative(moment: datetime, now: datetime, suffix: str = " ago") -> str:
    """The time in words: 'now', '6 min ago', '2 h ago', '3 Jan'. live.js uses the same rule."""
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 45:
        return "now" if suffix else f"{seconds} s"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min{suffix}"
    if seconds < 86400:
        return f"{round(seconds / 3600)} h{suffix}"
    return f"{moment.day} {moment:%b}" + ("" if moment.year == now.year else f" {moment.year}")


def duration(seconds: float | None) -> str:
    """'0.8 s', '12 s', '3 m 10 s', '2 h 05 m'."""
    if not isinstance(seconds, int | float):
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} m {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02} m"


def whole(value: object) -> int:
    """A whole number from an untrusted source; 0 for any other value."""
    return value if isinstance(value, int) else 0


def number(count: int, one: str, many: str | None = None) -> str:
    """'1 ticket', '2 tickets'."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: int) -> str:
    for unit, step in (("MB", 10**6), ("kB", 10**3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} bytes"


def text(value: str | None) -> str:
    """Hostile text of several lines, with invisible characters removed or spelled out."""
    return "\n".join(visible(line) for line in (value or "").split("\n"))


def blocks(value: str | None) -> list[tuple[str, str]]:
    """A description as [('prose' or 'code', text)]. Fenced blocks are code, and the text between them is prose."""
    found: list[tuple[str, str]] = []
    lines, fence = list[str](), ""
    for line in [*text(value).split("\n"), None]:
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line or "")
        if line is None or (mark and (not fence or (mark[1].startswith(fence) and not line.strip().strip(fence[0])))):
            body = "\n".join(lines).strip("\n")
            if body.strip():
                found.append(("code" if fence else "prose", body))
            lines, fence = [], "" if fence or not mark else mark[1]
        else:
            lines.append(line)
    return found


def short(text: str | None, length: int = 8) -> str:
    return (text or "")[:length]


def oneline(text: str | None, length: int = 160) -> str:
    """The first line that is not empty, cut to `length` characters."""
    first = next((part.strip() for part in (text or "").splitlines() if part.strip()), "")
    return first if len(first) <= length else first[:length - 1] + "…"


def weblink(url: str | None, pattern: str) -> str | None:
    """The URL if it is http(s) on the forge that repository names expand to. Otherwise None, and the page shows it as text."""
    try:
        given, forge = urlsplit(url or ""), urlsplit(pattern)
        same = given.scheme in ("http", "https") and bool(given.hostname) and given.hostname == forge.hostname and "@" not in given.netloc
    except ValueError:
        return None
    return url if same else None
