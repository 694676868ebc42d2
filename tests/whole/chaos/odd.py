"""Features that leave their clone in an odd state: what must be true of each is decided here, and judged in verdict.py.

Each writes files of its own, odd/<title>/<name>, with the run that wrote them in them. WHOLE: all that was committed or left there is merged.
NAMED: the attempt fails, its reason has these words, and the next attempt has what was left, as swarm-kept/<number>; what was left when time was up
is there from its beginning."""
import itertools
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

PRELUDE = """# odd: {kind}
odd=odd/{title}
mkdir -p $odd
keep() {{ for name in "$@"; do echo "$SWARM_RUN" > $odd/$name; git add -A; git commit -qm "$name of {title}"; done; }}
"""
OVERDUE = "past its time limit"
CARRIED_ON = """if [ -e $odd/half ]; then
    cmp $odd/half $odd/left
    cp $odd/left $odd/came-along
    exit 0
fi
"""
SECOND = """if git rev-parse -q --verify swarm-kept/1 > /dev/null; then
    grep -q '^- swarm-kept/1: ' "$SWARM_PROMPT"
    git show "swarm-kept/1:$odd/left" > $odd/came-along
    exit 0
fi
"""


class Odd(NamedTuple):
    """names: files that the merged change must have; absent: a file that it must not have; words: of the failed attempt's reason, or of the
    ticket's where nothing fails."""

    script: str
    names: tuple[str, ...]
    words: str = ""
    absent: str = ""


WHOLE = {
    "a look at an older commit": Odd("keep one two\ngit checkout -q HEAD~1", ("one", "two")),
    "a bisect left open": Odd("keep a b c\ngit bisect start HEAD HEAD~3 > /dev/null", ("a", "b", "c")),
    "a rebase stopped for an edit": Odd("keep a b c\nGIT_SEQUENCE_EDITOR='sed -i 1s/pick/edit/' git rebase -q -i HEAD~3 > /dev/null 2>&1 || true",
                                        ("a", "b", "c")),
    "a pick resolved and not continued": Odd(
        "keep f\ngit checkout -q -b side; echo side >> $odd/f; git commit -qam side\ngit checkout -q -; echo own >> $odd/f; git commit -qam own\n"
        "git cherry-pick side > /dev/null 2>&1 || true\necho \"$SWARM_RUN\" > $odd/f", ("f",)),
    "an amended base": Odd("echo \"$SWARM_RUN\" > $odd/f; git add -A; git commit -q --amend --no-edit", ("f",)),
    "a nested repository": Odd("cd $odd; git init -q; echo \"$SWARM_RUN\" > a; git add -A; git commit -qm a", ("a",),
                               "was a repository of its own without a remote"),
    "a change hidden by assume-unchanged": Odd("echo old > $odd/f; git add -A; git commit -qm f; echo \"$SWARM_RUN\" > $odd/f\n"
                                               "git update-index --assume-unchanged $odd/f", ("f",)),
    "an unreadable file": Odd("keep a\necho s > $odd/secret; chmod 000 $odd/secret", ("a",), "secret could not be read, so it was left out", "secret"),
}
NAMED = {
    "work on another branch": Odd("git checkout -q -b my-work\nkeep left\ngit checkout -q -", ("came-along",), "refs/heads/my-work (1 commit"),
    "a change on an older commit": Odd("keep one left\ngit checkout -q HEAD~1\necho x > $odd/x", ("came-along",), "refs/heads/swarm/"),
    "picks left open": Odd(
        "git add -A; git commit -qm begun; git checkout -q -b side; mkdir -p $odd; echo side > $odd/f\n"
        "git add -A; git commit -qm f; keep left\ngit checkout -q -; mkdir -p $odd; echo own > $odd/f\n"
        "git add -A; git commit -qm own; git cherry-pick side~1 side > /dev/null 2>&1 || true\ngit branch -q -D side; echo both > $odd/f",
        ("came-along",), "sequencer/todo (1 commit"),
    OVERDUE: Odd("keep half\necho \"$SWARM_RUN\" > $odd/left\nsleep 600", ("came-along",), "took longer than"),
    "a link out of the tree": Odd("keep left\nln -s /etc/passwd $odd/out", ("came-along",), "is a symbolic link that leaves the tree", "out"),
}
ALL = WHOLE | NAMED


def kinds(rng: random.Random, slow: bool) -> Iterator[str]:
    """Every kind once, in turn one whose first attempt fails and one that is merged whole. slow: also the one that waits for its time limit."""
    whole, named = (rng.sample(sorted(each), len(each)) for each in (WHOLE, NAMED if slow else set(NAMED) - {OVERDUE}))
    for pair in itertools.zip_longest(named, whole):
        yield from filter(None, pair)


def kind_of(description: str) -> str | None:
    found = re.search("^# odd: (.*)$", description, re.M)
    return found[1] if found else None


def script_of(kind: str, title: str) -> str:
    """What the feature's runbook says at its end."""
    return PRELUDE.format(kind=kind, title=title) + (CARRIED_ON if kind == OVERDUE else SECOND if kind in NAMED else "") + ALL[kind].script + "\n"
