"""Makes foreign text safe: for people, for one line, for one word of a shell."""


def one_line(text: object) -> str:
    """The text with all white space, including line breaks, as single spaces."""
    return " ".join(str(text).split())


def printable(text: str) -> str:
    """The text with backslash escapes for everything that could control a terminal or a browser."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shown(path: bytes) -> str:
    """A path in a repository, as text for people. The path may contain any bytes except NUL."""
    return printable(path.decode("utf-8", "backslashreplace"))


def quoted(text: str) -> str:
    """Any text as one word for a POSIX shell. NUL is left out, because no shell can hold it."""
    return "'" + text.replace("\0", "").replace("'", "'\\''") + "'"
