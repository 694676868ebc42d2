"""Compares two outputs of one check: does it fail in the same way? What differs between any two runs does not count: times, addresses, places of
the sandbox, line numbers, and tests that pass."""
import re

CUT = 3900  # characters; a longer output may have lost its beginning

# Lines that name what failed.
_NAMES = re.compile(r"""
    ^(?:FAILED|ERROR)\ \S                        # pytest, the summary
  | ^(?:FAIL|ERROR):\ \S                         # unittest
  | ^\s*not\ ok\b                                # TAP
  | ^\s*[✖✗✕×●]\s                                # node, jest, vitest, mocha
  | ^\s*FAIL\s+\S | ^\s*---\ FAIL:               # jest, vitest, go
  | ^test\ .*\.\.\.\ FAILED                      # cargo
  | ^rspec\ \S | ^\s*\d+\)\ \S                   # rspec, mocha, phpunit
  | \berror\ TS\d+: | ^\S+:\d+(?::\d+)?:\ (?:fatal\ )?error:
  | ^make(?:\[\d+\])?:\ \*\*\*
""", re.VERBOSE)
# Lines that say how it failed.
_ERRORS = re.compile(r"""
    ^E\s                                         # pytest
  | \b\w*(?:Error|Exception|Panic|Failure)\b.*:\s | ^\s*error(?:\[\w+\])?: | ^panic:
  | ^\s*(?:expected|actual|want|got|Expected|Received)\b
  | \s(?:!==|!=|===|==)\s
  | :\ (?:not\ found|No\ such\ file|Permission\ denied)
""", re.VERBOSE)
_COUNT = re.compile(r"\b(\d+) (?:failed|failing|failures?|errors?)\b|^# fail (\d+)", re.MULTILINE)
_NOISE = (
    (re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z| ?[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? (?:\d\d? )?[A-Z][a-z]{2} .{0,20}?\d\d:\d\d(?::\d\d)?(?: [A-Z]{3,4})?(?: \d{4})?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"\bduration_ms:? \d+(?:\.\d+)?"), "<took>"),
    (re.compile(r"\b\d+(?:\.\d+)?\s?(?:ns|µs|us|ms|s|sec|secs|seconds?|min|minutes?)\b"), "<took>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b(?:127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0):\d{2,5}\b"), "<port>"),
    (re.compile(r"\b(?:pid|PID|process)[ =:#]*\d+\b"), "<pid>"),
    (re.compile(r"(?:/[\w.@+-]+)+/(?=repo/)repo/"), ""),                         # the work tree
    (re.compile(r"/(?:tmp|var/tmp|dev/shm)/[^\s:'\")\]]+"), "<temporary>"),
    (re.compile(r"/(?:home|root)/[\w.-]*/?"), "<home>/"),
    (re.compile(r"\bcheck-\d+: \d+:"), "check:"),
    (re.compile(r"(?<=[\w>]):\d+(?::\d+)?\b"), ""),                               # file:line:column
    (re.compile(r"\((\d+),(\d+)\)"), ""),
    (re.compile(r"\bline \d+\b"), "line"),
    (re.compile(r"^@@ .* @@"), "@@"),
    (re.compile(r"^\s*not ok \d+\b"), "not ok"),
    (re.compile(r"^\s*\d+\) "), ") "),
    (re.compile(r"\s*\(?<took>\)?"), ""),
    (re.compile(r"\s+"), " "),
)


def same(exit: int | None, output: str, base_exit: int | None, base_output: str) -> bool:
    """True if a check fails as it did at the base: the same exit code, and the same failing lines."""
    if exit != base_exit:
        return False
    if max(len(output), len(base_output)) <= CUT:
        return failing_lines(output) == failing_lines(base_output)
    return _same_ends(output, base_output)


def failing_lines(output: str) -> frozenset[str]:
    """The lines that say what failed and how, without what differs each time; all lines if none of them is known to say so."""
    lines = output.split("\n")
    found = {plain(line) for line in [line for line in lines if _NAMES.search(line) or _ERRORS.search(line)] or lines}
    return frozenset(found - {""})


def _same_ends(one: str, two: str) -> bool:
    """The same for outputs that may have lost their beginnings: the names at their ends, as many as both have, and how many tests failed."""
    first, second = ([plain(line) for line in text.split("\n")[1:] if _NAMES.search(line)] for text in (one, two))
    if not first or not second:
        first, second = ([plain(line) for line in text.split("\n")[1:] if line.strip()] for text in (one, two))
    count = min(len(first), len(second))
    return count > 0 and first[-count:] == second[-count:] and _COUNT.findall(one)[-1:] == _COUNT.findall(two)[-1:]


def plain(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, instead in _NOISE:
        line = pattern.sub(instead, line)
    return line.strip()
