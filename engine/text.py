"""Foreign text in one piece: for people, for one line, for one word of a shell."""


def one_line(text: object) -> str:
    """All white space, line breaks included, as single spaces."""
    return " ".join(str(text).split())


def printable(text: str) -> str:
    """The text with everything that a terminal or a browser could act upon as backslash escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shown(path: bytes) -> str:
    """A path of a repository, which may hold any bytes but NUL, for people."""
    return printable(path.decode("utf-8", "backslashreplace"))


def quoted(text: str) -> str:
    """One word for a POSIX shell, whatever is in it (NUL, which no shell can hold, is left out)."""
    return "'" + text.replace("\0", "").replace("'", "'\\''") + "'"
