"""Every module can be the first one that is imported: nothing works only because another one happened to be loaded before."""
import os
import subprocess
import sys

from test_house import modules

from engine.config import ROOT

# One process loads what is not ours; each module is then imported by a child of its own, in which none of our others is loaded yet.
EACH = """
import os, sys, traceback
import argparse, concurrent.futures.thread, flask, flask_sock, http.server, jsonschema, resource, shlex, simple_websocket, sqlite3, urllib.request
import werkzeug.serving
from importlib import import_module
ours = ("engine", "hitl", "app")
assert not [name for name in sys.modules if name.split(".")[0] in ours]
for name in sys.argv[1:]:
    if not (child := os.fork()):
        try:
            import_module(name)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name, flush=True)
"""


def test_every_module_can_be_imported_first_and_warns_of_nothing() -> None:
    names = ["app", *(name for name in modules() if not name.endswith("__main__"))]
    compiled_once = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", EACH, *names], cwd=ROOT, capture_output=True, text=True, env=compiled_once)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
