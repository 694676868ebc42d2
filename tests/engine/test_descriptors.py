"""The limit of open descriptors: raised for this process, as it was for its runs; and waiting for a process works above 1,023."""
import os
import resource
import subprocess
import sys

from conftest import HANG

from engine.config import ROOT
from engine.host.processes import has_ended, open_pidfd

PROGRAM = """
import resource, subprocess, sys
from pathlib import Path
from engine.host import children, descriptors
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
now = descriptors.raise_limit()
assert descriptors.raise_limit() == now, "the second time changes nothing"
children.spawn(Path("run"), ["sh", "-c", "read go; ulimit -Sn"], stdin=subprocess.PIPE)
child = children._CHILDREN[Path("run")]
child.communicate(b"go\\n")
print(now == min(hard, 65536) == resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_limit_is_raised_and_a_run_keeps_the_one_before() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert (done.stdout.split(), done.stderr) == (["100", "True"], "")


def test_a_process_is_waited_for_by_a_descriptor_above_1023() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        pidfd = open_pidfd(child.pid)
        assert pidfd is not None
        high = os.dup2(pidfd, 2000)
        assert not has_ended(high, 0.0)
        child.kill()
        assert has_ended(high, HANG)
    os.close(high)
    os.close(pidfd)
