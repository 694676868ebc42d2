"""Our own reader for the header of a git bundle: what it contains, and where its pack starts.

    # v2 git bundle\n  or  # v3 git bundle\n@object-format=sha1\n
    -<commit> <comment>\n     needed: a commit that the reader must have already
    <object> <ref>\n          held
    \n                        then the pack"""
import os
import re
import struct
from typing import NamedTuple

from engine.errors import Permanent

REF = "refs/heads/swarm-out"  # the branch in a run's bundle
KEPT = "refs/heads/swarm-kept/"  # in kept.bundle: commits that the run made and did not deliver, numbered
LONGEST_HEADER = 1 << 20  # bytes; a line of it holds the subject of a commit, which may be long
MOST_LINES = 100          # refs and needed commits, each
MOST_OBJECTS = 1_000_000
_LINE = re.compile(rb"(-?)([0-9a-f]{40})(?: ([^\0]*))?")


class Unusable(Permanent):
    """A bundle that is not as it must be. If a run left it, its next attempt may do better."""


class Header(NamedTuple):
    refs: dict[str, str]
    needed: tuple[str, ...]
    offset: int  # where the pack begins, in bytes


def read_header(descriptor: int) -> Header:
    """Raises Permanent for anything but a plain bundle of at most MOST_LINES refs and needed commits each. Does not move the file's position."""
    start = os.pread(descriptor, LONGEST_HEADER, 0)
    end = start.find(b"\n\n")
    if end < 0:
        raise unusable("its header has no end")
    first, *lines = start[:end].split(b"\n")
    if first not in (b"# v2 git bundle", b"# v3 git bundle"):
        raise unusable("it is not a git bundle of version 2 or 3")
    refs: dict[str, str] = {}
    needed: list[str] = []
    for line in lines:
        if line.startswith(b"@"):
            if first != b"# v3 git bundle" or line != b"@object-format=sha1" or refs or needed:
                raise unusable("it asks for something that is not supported (a filter, or another object format)")
            continue
        found = _LINE.fullmatch(line)
        if not found or (not found[1] and not found[3]):
            raise unusable("a line of its header is malformed")
        if found[1]:
            needed.append(found[2].decode())
        else:
            refs[found[3].decode("utf-8", "backslashreplace")] = found[2].decode()
        if len(refs) > MOST_LINES or len(needed) > MOST_LINES:
            raise unusable(f"it names more than {MOST_LINES} refs or needed commits")
    return Header(refs, tuple(needed), end + 2)


def count_objects(descriptor: int, header: Header) -> int:
    """Number of objects that the pack announces; git reserves memory for this number before it reads on. Raises Permanent above MOST_OBJECTS."""
    start = os.pread(descriptor, 12, header.offset)
    if len(start) < 12 or start[:4] != b"PACK":
        raise unusable("there is no pack in it")
    count: int = struct.unpack(">I", start[8:])[0]
    if count > MOST_OBJECTS:
        raise unusable(f"its pack announces {count} objects; at most {MOST_OBJECTS} are allowed")
    return count


def unusable(why: str) -> Unusable:
    return Unusable(f"The run's bundle cannot be used: {why}.")
