"""Decides whether a failed git command may be tried again (Transient; Unreachable where a host does not answer) or not (Permanent; Damaged where
objects or refs are broken)."""
import re
import signal

from engine.errors import Damaged, Permanent, RunFailure, Transient, Unreachable
from engine.text import printable

NETWORK_COMMANDS = ("fetch", "ls-remote", "push")  # only their messages may mean the network; in others the words could be a file's name

# Text that is compiled when needed, so that a run starts sooner.
_REFUSED = (  # these decide, even if git also reports a closed connection
    r"permission denied|authentication failed|repository not found|does not appear to be a git repository|host key verification failed"
    r"|could not read (username|password)|returned error: 40[0-47]|dubious ownership|not allowed|no matching host key")
_PASSING = (
    r"could not resolve|name resolution|timed out|connection (refused|reset|closed|aborted)|failed to connect|couldn't connect"
    r"|network is unreachable|no route to host|early eof|hung up|unexpected disconnect|returned error: (5\d\d|429)|http (5\d\d|429)"
    r"|empty reply from server|ssl_error_syscall|gnutls_handshake|tls connection was non-properly terminated|operation too slow|rpc failed"
    r"|kex_exchange_identification|transfer closed|upload-pack: not our ref")  # the last: a branch was moved there at the same time
# Lines about what is stored. They decide before the lines about a connection, because a program that cannot read an object hangs up, too.
_DAMAGED = (
    r"\bis corrupt|object file .* is empty|inflate: |unable to (unpack|parse|read|find) [0-9a-f]{40}|could not read [0-9a-f]{40}"
    r"|missing (blob|tree|commit|object|necessary objects)|did not send all necessary objects|bad (tree )?object|hash mismatch"
    r"|garbage at end of|non-monotonic index|packfile .* cannot be"
    r"|index file .* (is too small|is corrupt|overlaps)|wrong index|pack .* (is far too short|not a git packfile|claims to have)|packfile .* (index|signature)"
    r"|possible repository corruption|not our ref 0{40}|unexpected line in .*packed-refs|invalid sha1 pointer|failed to traverse parents")
_DISK = r"no space left on device|disk quota exceeded|too many open files|resource temporarily unavailable|cannot allocate memory"


def failure(command: str, code: int, stderr: bytes) -> RunFailure:
    """The error for `git <command>` that ended with `code`; code is negative for a signal, as in subprocess.
    Its extra["words"]: the message of git and a remote, for callers that can explain it better."""
    words = clean(stderr)
    if code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return Transient(f"git {command} was stopped by signal {-code}. It will be tried again.")
    sentence = f"git {command} failed: {words or f'it ended with code {code}'}"
    if command in NETWORK_COMMANDS:
        broken = _first_line(_DAMAGED, stderr)
        if broken and not re.search(_DISK, words, re.I):
            return Damaged(f"git {command} failed, because a repository is damaged: {broken}", words=clean(stderr, 4000))
        if re.search(_PASSING, words, re.I) and not re.search(_REFUSED, words, re.I):
            return Unreachable(sentence, words=clean(stderr, 4000))
    kind = Transient if re.search(_DISK, words, re.I) else Permanent
    return kind(sentence, words=clean(stderr, 4000))


def _first_line(pattern: str, stderr: bytes) -> str:
    """git's first line that fits the pattern, also of a git at the other end; '' if there is none. Lines that say only that damage is possible count last."""
    lines = [re.sub(r"^(remote: ?|error: |fatal: )+", "", line.strip()) for line in stderr.decode("utf-8", "backslashreplace").splitlines()]
    found = [clean(line.encode(), 300) for line in lines if re.search(pattern, line, re.I)]
    return min(found, key=lambda line: "possible repository corruption" in line, default="")


def clean(stderr: bytes, most: int = 400) -> str:
    """git's message on one line, at most `most` characters, without hints and without user names and passwords of URLs."""
    lines = [line.strip() for line in stderr.decode("utf-8", "backslashreplace").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("hint:", "warning:", "To add an exception", "git config --global"))]
    text = re.sub(r"([a-z][a-z0-9+.-]*://)[^/\s]*@", r"\1", " ".join(lines), flags=re.I)
    text = printable(text)
    return text if len(text) <= most else text[:most - 1] + "…"
