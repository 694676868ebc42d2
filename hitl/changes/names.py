"""A unique name for each path of a repository, whatever its bytes are. A mark on one file must never count for another file.

A path in UTF-8 without control characters is its own name. Any other path, and a path that starts with a quote, is written in C quotes as git does."""
import re

_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_SHORT = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_QUOTED = {value[0]: "\\" + key.decode() for key, value in _SHORT.items()} | {ord("\\"): "\\\\", ord('"'): '\\"'}


def name_of(path: bytes) -> str:
    """The name of a path; different paths have different names."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and text[0] != '"' and not re.search(r"[\x00-\x1f\x7f]", text):
        return text
    return '"' + "".join(_QUOTED.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in path) + '"'


def path_of(name: str) -> bytes:
    """The path with this name."""
    return unquoted(name.encode("utf-8", "backslashreplace"))


def unquoted(text: bytes) -> bytes:
    """The path in a line of git's diff, where a path with unusual bytes is in quotes."""
    if len(text) < 2 or text[:1] != b'"' or text[-1:] != b'"':
        return text
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 255]) if len(found[1]) == 3 else _SHORT.get(found[1], found[1]), text[1:-1])


def shown(path: bytes) -> str:
    """The path as text for people. It may contain any character, so it is not safe to show yet."""
    return path.decode("utf-8", "backslashreplace")
