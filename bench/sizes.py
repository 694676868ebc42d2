"""How much is measured: the full form (7 minutes on 2 idle cores), the quick one (under 90 s), and the least that still is a number."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    rows: tuple[int, ...]         # of the tickets table, in the claim cycle; the first and the last say whether it is flat
    tenants: int
    times: int                    # turns of each subject; the median counts
    cycles: int                   # claim → finish cycles in a turn, at synchronous NORMAL
    slow_cycles: int              # the same at FULL, where each commit waits for the disk
    features: int                 # of the card that is inserted
    rich_features: int            # of the card that is validated
    samples: int                  # of a latency
    builds: int                   # real builds in bubblewrap
    idle_seconds: float
    tickets: int                  # of an end-to-end build with the fake runtime
    open_tickets: int
    files: int                    # of the repository
    clients: tuple[int, ...]
    board: int
    contended: int                # tickets for four processes
    held: int                     # connections that clients hold
    commits: int                  # of the long history
    megabytes: int                # of its objects
    vms: int                      # virtual machines of each kind, where there is an image


FULL = Size(rows=(1_000, 100_000, 1_000_000), tenants=1000, times=5, cycles=300, slow_cycles=60, features=1000, rich_features=10_000, samples=60,
            builds=5, idle_seconds=60, tickets=3000, open_tickets=10_000, files=20_000, clients=(200, 1000), board=500, contended=2000, held=2000,
            commits=50_000, megabytes=250, vms=10)
QUICK = Size(rows=(1_000, 50_000), tenants=1000, times=3, cycles=150, slow_cycles=30, features=1000, rich_features=10_000, samples=20,
             builds=2, idle_seconds=10, tickets=1000, open_tickets=10_000, files=20_000, clients=(200,), board=500, contended=400, held=2000,
             commits=10_000, megabytes=50, vms=3)
LEAST = Size(rows=(100, 300), tenants=10, times=1, cycles=5, slow_cycles=2, features=20, rich_features=50, samples=2,
             builds=0, idle_seconds=0.3, tickets=20, open_tickets=100, files=50, clients=(3,), board=10, contended=12, held=100,
             commits=0, megabytes=0, vms=0)
