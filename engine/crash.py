"""Named points where a test can kill this process. So tests reach every gap of the protocol, not only the gaps that chance finds.

SWARM_CRASH="<point>" or "<point>:<n>": this process gets SIGKILL when it passes that point for the n-th time. Without this variable nothing happens."""
import os
import signal

VARIABLE = "SWARM_CRASH"
_wanted, _, _nth = os.environ.get(VARIABLE, "").partition(":")
_left = int(_nth or 1)

# In the order in which a run passes them.
ENGINE_POINTS = ("after-claim", "after-folder", "after-lock", "after-spawn", "before-begin", "after-begin", "before-harvest", "after-index",
                 "after-harvest", "after-merging", "after-merge-tree", "after-commit-tree", "after-update-ref", "before-finish", "after-finish")
# In the order in which a delivery passes them, from the branch to what comes back.
DELIVERY_POINTS = ("before-push", "after-push", "after-pushed", "before-open", "after-open", "after-opened", "before-complete", "after-complete",
                   "after-ready", "before-act", "after-act")
# In the order in which a database of an earlier version passes them on its way to this one.
UPGRADE_POINTS = ("before-backup", "after-backup", "in-migration", "before-migrated", "after-migrated")
# In the order in which a restore passes them; the third of the old database's files is moved at restore-moved:3.
RESTORE_POINTS = ("restore-begun", "restore-copied", "restore-decided", "restore-moved", "restore-placed")
# In the order in which a run that makes a snapshot passes them.
SETUP_POINTS = ("before-setup", "before-snapshot", "snapshot-written", "snapshot-renamed", "snapshot-linked")
RUNNER_POINTS = ("runner-started", "before-work", "after-work", "before-checks", "before-result", "after-result")


def inherited() -> dict[str, str]:
    """The variables that a runner needs, so that its own points work."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def point(name: str) -> None:
    """Kills this process if the environment names this point; otherwise does nothing."""
    global _left
    if name == _wanted:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
