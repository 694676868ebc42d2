"""Versions of interpreters: whether what a repository asks for is what this machine has."""
import re

_NUMBERS = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}")
_CLAUSE = re.compile(r"(===|==|~=|!=|>=|<=|>|<|\^|~>|~|=)?\s*v?(\d{1,6}(?:\.(?:\d{1,6}|[xX*])){0,3}|[xX*])(?:[-+][\w.-]*)?")


def numbers(text: str) -> tuple[int, ...]:
    """The first version in a text as numbers; () if there is none."""
    matched = _NUMBERS.search(text)
    return tuple(int(part) for part in matched[0].split(".")) if matched else ()


def is_same(wanted: str, there: str) -> bool | None:
    """Whether a version like 20, 3.12 or v20.1.0 is the one that is there, as far as it says, the last number of three left aside. None: it names no
    version."""
    asked, has = numbers(wanted), numbers(there)
    if not asked or not has:
        return None
    return has[:min(len(asked), 2)] == asked[:2]


def fits(range_text: str, there: str) -> bool | None:
    """Whether a version is in a range like >=3.9,<4, ^20.1 || 22.x or ~> 3.2. None: the range is not understood."""
    has = numbers(there)
    if not has or len(range_text) > 200:
        return None
    results = [_all(part, has) for part in range_text.split("||")]
    return True if True in results else None if None in results else False


def _all(part: str, has: tuple[int, ...]) -> bool | None:
    """Whether a version fits all clauses of a part."""
    if " - " in part:
        low, _, high = part.partition(" - ")
        return _all(f">={low.strip()} <={high.strip()}", has)
    left, results = part.strip(), []
    if left in ("", "*", "x"):
        return True
    while left:
        matched = _CLAUSE.match(left)
        if matched is None:
            return None
        results.append(_clause(matched[1] or "=", matched[2], has))
        left = left[matched.end():].lstrip(" ,")
    return all(results)


def _clause(sign: str, text: str, has: tuple[int, ...]) -> bool:
    given = tuple(int(part) for part in text.split(".") if part.isdigit())
    same = has[:len(given)] == given
    padded = (*given, 0, 0, 0)[:max(3, len(given))]
    full = (*has, 0, 0, 0)[:max(3, len(has))]
    if sign == "~>" or sign == "~=":
        return full >= padded and has[:max(1, len(given) - 1)] == given[:max(1, len(given) - 1)]
    if sign == "^":
        return full >= padded and has[:1] == given[:1] and (given[:1] != (0,) or has[:2] == given[:2])
    if sign == "~":
        return full >= padded and has[:min(2, len(given))] == given[:2]
    return {">=": full >= padded, "<=": full <= padded or same, ">": full > padded and not same, "<": full < padded, "!=": not same}.get(sign, same)
