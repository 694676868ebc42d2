"""python -m tests.whole.chaos --rounds 200 --seed 1: kills everything at any moment, and then proves that nothing was lost and nothing done twice."""
import argparse
import collections
import contextlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.whole.chaos import environments, rounds
from tests.whole.chaos.forge import Forge
from tests.whole.chaos.provider import Provider, help_out
from tests.whole.chaos.sampler import Sampler
from tests.whole.chaos.server import log_of
from tests.whole.chaos.verdict import judge, machine
from tests.whole.chaos.world import World


def main() -> int:
    """-> 0 when nothing is wrong; 1 with the list of what is, and the data folder kept."""
    options = _arguments().parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # also where it was started in the background: no server is to be left behind
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="swarm-chaos-", dir=options.folder))
    provider, stack = Provider(), contextlib.ExitStack()
    rng = random.Random(options.seed)
    forge = Forge(folder, rng)
    environment = stack.enter_context(provider) | stack.enter_context(forge) | {"SWARM_REPOSITORY_ROOTS": str(folder)}
    world = World(folder / "data", rng, options.features, provider, forge, environment)
    world.data.mkdir()
    began, table = time.monotonic(), collections.defaultdict[str, list[int]](lambda: [0, 0])
    print(f"{options.rounds} rounds, seed {options.seed}, {options.features} features a build, in {folder}\n{machine()}", flush=True)
    sampler = Sampler(world.data)
    sampler.start()
    try:
        for number, name in enumerate(_plan(world.rng, options.rounds, options.only), 1):
            world.need_work()
            help_out(world)
            environments.help_out(world)
            forge.play(world)
            hit = rounds.kinds()[name](world)
            table[name][0] += 1
            table[name][1] += hit
            if options.verbose:
                print(f"{number:4} {time.monotonic() - began:7.1f} s  {name}{'' if hit else ' (missed)'}", flush=True)
        if options.rounds == 0:
            world.need_work()
        wrong = judge(world)
    finally:
        if world.server is not None:
            world.server.kill()
        stack.close()
        sampler.stop()
    wrong += sampler.found
    _report(world, table, time.monotonic() - began, sampler)
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    print(f"{len(wrong)} things are wrong; everything is kept in {folder}" if wrong else "Nothing was lost, and nothing was done twice.")
    if not wrong and not options.keep:
        shutil.rmtree(folder)
    return 1 if wrong else 0


def _plan(rng: random.Random, count: int, only: str | None) -> list[str]:
    """Every kind in turn, in an order that the seed decides; the moments that chance chooses come up more often than the named ones."""
    names = [name for name in rounds.kinds() if only is None or only in name]
    if not names:
        raise SystemExit(f"no kind of round has {only!r} in its name: {', '.join(rounds.kinds())}")
    plan: list[str] = []
    while len(plan) < count:
        deck = [name for name in names for _ in range(1 if ": " in name or name == "failing disk" else 2)]
        rng.shuffle(deck)
        plan += deck
    return plan[:count]


def _report(world: World, table: dict[str, list[int]], seconds: float, sampler: Sampler) -> None:
    log = log_of(world.data).read_text(errors="replace")
    print("\n| round | played | hit |\n|---|---|---|")
    for name in rounds.kinds():
        if name in table:
            print(f"| {name} | {table[name][0]} | {table[name][1]} |")
    outcomes = {row[0]: row[1] for row in world.rows("select outcome, count(*) from runs group by 1 order by 2 desc")}
    facts = {"builds": world.counts["builds"], "tickets": world.value("select count(*) from tickets"), "servers started": world.counts["starts"],
             "servers killed": world.counts["kills"], "runners killed": len(world.killable), "git processes killed": world.git_kills,
             "runs": sum(outcomes.values()), "work executed": world.counts["executions"],
             "merge commits": world.counts["merges"], "runs adopted alive": len(re.findall("event=adopted .*found=alive", log)),
             "runs found ended, not yet recorded": len(re.findall("event=adopted .*found=ended", log)), "queued again, never begun": outcomes.get("void", 0),
             "queued again, killed or failed": outcomes.get("transient", 0), "sandboxes seen without their runner": len(sampler.orphans),
             "half-done merges finished": len(world.half_done), "waits for the provider": world.counts["waits for the provider"],
             "provider requests answered": world.counts["provider requests answered"],
             "forge: stages played": world.forge.stage, "forge: requests not served": world.forge.troubles,
             "conflicts": outcomes.get("conflict", 0), "cancellations granted": len(world.cancelled),
             "cancellations refused, too late": world.counts["too late"],
             **{f"merged after {kind}": count for kind, count in sorted(world.odd.items())},
             "setups": world.value("select count(*) from runs where kind = 'setup'"),
             "looks for doubles": sampler.looks,
             "seconds": round(seconds)}
    print("\n| what | count |\n|---|---|")
    for name, value in facts.items():
        print(f"| {name} | {value} |")
    skipped = rounds.disk_can_fail()
    print(f"\nLeft out: failing disk, because {skipped}.\n" if skipped else "")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.whole.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="0: one build that nothing is done to")
    parser.add_argument("--seed", type=int, default=1, help="decides cards, order and moments; what happens then is up to the machine")
    parser.add_argument("--features", type=int, default=30, help="of a build; builds follow one another until the rounds are played")
    parser.add_argument("--only", help="kinds of rounds whose name holds this")
    parser.add_argument("--folder", default="/var/tmp", help="where the data folder is made: on a real disk")
    parser.add_argument("--keep", action="store_true", help="keep the data folder even if nothing is wrong")
    parser.add_argument("--verbose", action="store_true", help="a line for each round")
    return parser


if __name__ == "__main__":
    sys.exit(main())
