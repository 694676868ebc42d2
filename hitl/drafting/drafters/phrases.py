"""The phrases that show what a line of a specification is. Each function examines one line in bounded time."""
import re
from dataclasses import dataclass

SECTIONS = (  # the first entry that matches a heading says what its section contains
    ("technical", r"technical|non-?functional|constraints?|tech stack|architecture|platform|dependencies and tools"),
    ("scope", r"out of scope|non-?goals?|not in scope|exclusions?|what it (?:is|does) not"),
    ("acceptance", r"acceptance|definition of done|scenarios? and tests?$"),
    ("risks", r"risks?\b|threats?"),
    ("checks", r"checks?$|verification$|how (?:it is )?(?:checked|tested)"),
    ("notes", r"edge cases|key entities|assumptions?|open questions|success criteria|measurable outcomes|metrics|glossary|dependencies|timeline|notes"
              r"|review|execution|format|implementation strategy|path conventions|clarifications"),
    ("goal", r"overview|summary|introduction|background|goals?\b|objectives?|purpose|problem|users?$|personas?|vision|context|description|motivation"),
    ("features", r"features?\b|(?:functional )?requirements?|user stories|stories|user scenarios|scope|functionality|tasks?\b|milestones?|deliverables"),
)
_SECTIONS = tuple((kind, re.compile(rf"(?:\d+(?:\.\d+)*[.)]?\s+)?(?:{words})", re.I)) for kind, words in SECTIONS)
_NUMBERED = re.compile(r"(?:user story|story|feature|requirement|us)\s*#?(\d{1,4})\s*(?:[-–—:.]\s*)?(.*)", re.I)
_NAMED = re.compile(r"(?:user story|story|feature)\s*[:–—]\s*(\S.*)", re.I)
_PRIORITY = re.compile(r"[\[(]?\bpriority\b\s*(?::\s*)?(p[0-4]|high|medium|low)\b[\])]?", re.I)
_RANK = {"p0": 3, "p1": 3, "high": 3, "p2": 2, "medium": 2, "p3": 1, "low": 1, "p4": 0}
_STORY = re.compile(r"\W*as (?:an?|the) ([^,.]{1,120}?),?\s+i (?:want|need|would like|can|wish)(?: to)?\b\s*(.{1,400}?)"
                    r"(?:,?\s*(?:so that|in order to|so)\s+(.{1,400}?))?[.!]?\s*", re.I | re.S)
_DEPENDS = re.compile(r"[(\[]?\b(?:depends on|dependenc(?:y|ies)|after|blocked by|requires|needs)\b\s*(?::\s*)?"
                      r"([^()\[\]\s][^()\[\]]{0,299}?|\s)[)\]]?\.?\Z", re.I)
_STRICT = re.compile(r"[(\[](?:depends on|after|blocked by|requires|needs)|\b(?:depends on|blocked by)\b|^\W*(?:dependenc|after:|needs:|requires:)", re.I)
_CHECK = re.compile(r"[(\[]?\bchecks?(?: by| with)?\s*:\s*`([^`]{1,1000})`[)\]]?\.?\Z", re.I)
_BEFORE = "".join(filter(str.isspace, map(chr, range(0x3001)))) + ",;–—-"  # between a sentence and the dependencies or the check after it
_GHERKIN = re.compile(r"\W*(given|when|then|and|but)\b[*_]*:?\s+\S", re.I)


def section(heading: str) -> str | None:
    """The kind of the section under this heading: one of SECTIONS, or None."""
    return next((kind for kind, pattern in _SECTIONS if pattern.match(heading)), None)


def feature_heading(text: str) -> tuple[int, str] | None:
    """(number or 0, title) of a heading like “User Story 2 - Title” or “Feature: Title”; None for other headings."""
    if match := _NUMBERED.fullmatch(text):
        return int(match[1]), match[2].strip() or text.strip()
    if match := _NAMED.fullmatch(text):
        return 0, match[1].strip()
    return None


def take_priority(text: str) -> tuple[str, int]:
    """(the text without “(Priority: P1)”, the priority from 3, the highest, to 0)."""
    match = _PRIORITY.search(text)
    return (text, 0) if match is None else ((text[:match.start()] + text[match.end():]).strip(" -–—,"), _RANK[match[1].lower()])


@dataclass(frozen=True)
class Story:
    who: str
    want: str
    text: str


def story(text: str) -> Story | None:
    """A user story “As a … I want … so that …”; None if the text contains anything else."""
    match = _STORY.fullmatch(text) if len(text) < 1000 else None
    return Story(match[1].strip(), match[2].strip(), text.strip(" *_-")) if match else None


def take_depends(text: str) -> tuple[str, list[str]]:
    """(the text without “(depends on A, 2)” at its end, the names in it)."""
    end = text[-400:].rstrip()
    match = _DEPENDS.search(end) if _STRICT.search(text) else None
    if match is None:
        return text, []
    names = [part.strip(" \"'“”‘’`#.*") for part in re.split(r",|;|&|\band\b|\+", match[1])]
    return (text[:-400] + end[:match.start()].rstrip(_BEFORE + ".")).strip(), [name for name in names if name]


def take_check(text: str) -> tuple[str, str]:
    """(the text without “(check: `command`)” at its end, the command or "")."""
    end = text[-1200:].rstrip()
    match = _CHECK.search(end)
    if match is None:
        return text, ""
    return (text[:-1200] + end[:match.start()].rstrip(_BEFORE)).strip(), match[1].strip()


def gherkin(text: str) -> str | None:
    """The first word of the line if it is given, when, then, and or but; otherwise None."""
    match = _GHERKIN.match(text)
    return match[1].lower() if match else None
