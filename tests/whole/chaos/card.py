"""The build that is tortured: features that leave traces of themselves, so that one too many or too few of anything shows in the result."""
import random
from typing import Any

from tests.whole.chaos import odd

GROUP = 3            # features that append to the same file. A ticket can lose a conflict to each of the other two: as often as it may.
START = "@start"     # begins the line in a run's log that says: the work of this run began

BLOCK = """```sh
echo "{start} {title} $SWARM_RUN"
{dependencies}test ! -e done/{title}{again}
sleep {sleep}
mkdir -p done shared
echo "$SWARM_RUN" > done/{title}
{append}{odd}```"""


def shared_file(number: int) -> str | None:
    """Where the feature of this number (from 1) appends its line, if it does: every other group shares a file."""
    group = (number - 1) // GROUP
    return f"shared/{group}.txt" if group % 2 == 0 else None


def make_card(rng: random.Random, name: str, features: int, checks: bool) -> dict[str, Any]:
    """A spec card. checks: whether features have some; then most are merged by recheck runs, else each by itself.

    A feature depends on up to two of earlier groups, fails if they are not in its tree, and fails if it is itself. Some that share no file leave
    odd states (odd.py)."""
    card: dict[str, Any] = {"name": name, "features": [], "checks": ["test -n \"$(ls done)\""]}
    kinds = odd.kinds(rng, slow=features > 12)
    for number in range(1, features + 1):
        earlier = range(1, (number - 1) // GROUP * GROUP + 1)
        wanted = sorted(rng.sample(earlier, min(len(earlier), rng.choice((0, 0, 1, 1, 2)))))
        title, path = f"F{number}", shared_file(number)
        sleep = rng.uniform(0, 0.4) if number % 5 else rng.uniform(1.5, 2.5)  # long enough for some to outlive a server and its start
        kind = next(kinds, None) if path is None else None
        block = BLOCK.format(start=START, title=title, sleep=round(sleep, 2), append=f"echo {title} >> {path}\n" if path else "",
                             again=f" || test -e odd/{title} || git rev-parse -q --verify swarm-kept/1" if kind in odd.NAMED else "",
                             odd=odd.script_of(kind, title) if kind else "",
                             dependencies="".join(f"test -e done/F{other}\n" for other in wanted))
        feature: dict[str, Any] = {"title": title, "description": block, "depends_on": [f"F{other}" for other in wanted]}
        if checks and number % 2:
            feature["acceptance_criteria"] = [{"text": "its trace is there", "check": f"test -s done/{title}"}]
        card["features"].append(feature)
    return card
