"""HITL Swarm: from an approved idea to a merged branch.

create_app() connects the parts and starts nothing. start_engine() takes the engine's lock and starts its thread. main() serves the application."""
import argparse
import os
import signal
import socket
import sys
import threading
from types import FrameType

from flask import Flask
from werkzeug.serving import is_running_from_reloader, run_simple

from engine import VERSION, log
from engine.config import ROOT, Config, unknown_settings
from engine.errors import Refused
from engine.git.call import check_git
from engine.host import descriptors
from engine.job import reader
from engine.loop.loop import SwarmEngine
from engine.loop.slot import EngineSlot
from engine.runtimes import choose
from engine.store import held_back
from engine.store.db import open_database
from engine.store.journal import Changes
from hitl.api import api
from hitl.pages import pages
from hitl.pages.errors import error_page
from hitl.server import peers
from hitl.server.limits import Limits
from hitl.server.server import Server
from hitl.server.tls import context_of
from hitl.views.notes_files import NotesFiles
from hitl.views.session import progress_of
from hitl.web import answers, guard, live
from hitl.web.context import Swarm


def create_app(config: Config | None = None, testing: bool = False) -> Flask:
    """The web application with the database of the config (default: from the environment). Raises Refused.

    testing: it also answers Flask's test client, whose requests come by no connection."""
    config = config or Config.from_env()
    app = Flask("hitl", root_path=str(ROOT / "hitl"))
    app.testing = testing
    db = open_database(config.database, config.synchronous)
    changes = Changes()
    db.subscribe(changes.ring)
    app.extensions["swarm"] = Swarm(config, db, changes, EngineSlot(config, lambda: SwarmEngine(db, config)))
    app.extensions["error_page"] = error_page
    answers.install(app)
    app.extensions["peers"] = peers.install(app, config.local_users)
    guard.install(app)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    live.install(app, progress_of)
    return app


def start_engine(app: Flask, where: str | None = None) -> bool:
    """Starts the engine's thread unless another process runs the engine of this data folder -> whether it runs in this process now.

    where: the address that other processes are told; default: the configured address."""
    swarm: Swarm = app.extensions["swarm"]
    why_not = check_git()
    if why_not:
        raise Refused(why_not)
    choose(swarm.config.runtime, swarm.config.vm)  # reports here, and not in a thread, that the requested runtime cannot run
    here = swarm.slot.start(where or f"{swarm.config.host}:{swarm.config.port}")
    for sentence in filter(None, (held_back.waiting(swarm.db, swarm.config.tenants), reader.missing())):
        print(f"HITL Swarm: {sentence}", file=sys.stderr, flush=True)
    return here


def http_server(app: Flask, listener: socket.socket) -> Server:
    """The server of the application, on a listener that is open already; serve_forever() serves. Who may connect is said here."""
    swarm: Swarm = app.extensions["swarm"]
    tls = context_of(swarm.config.tls_cert, swarm.config.tls_key)
    return Server(app, listener, app.extensions["peers"].admit, Limits.within(descriptors.raise_limit(), tls is not None), swarm.db.close, tls)


def serve(app: Flask) -> None:
    """Serves until SIGTERM or SIGINT. Runs continue without the server, and the next start adopts them. A second signal stops at once."""
    swarm: Swarm = app.extensions["swarm"]
    config = swarm.config
    server = http_server(app, _listen(config))

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    notes = NotesFiles(swarm.db, config, swarm.changes)
    try:
        _begin(app, server.port)
        notes.start()
        server.serve_forever()
    finally:
        swarm.slot.stop()
        notes.stop()


def serve_with_reloader(app: Flask) -> None:
    """Serves, and restarts when a file of the program changes. The first of the two processes only watches and has no engine."""
    swarm: Swarm = app.extensions["swarm"]
    config = swarm.config
    if config.tls_cert or config.tls_key:
        raise Refused("--reload serves http alone. Start without SWARM_TLS_CERT and SWARM_TLS_KEY, or without --reload.")
    if is_running_from_reloader():
        _begin(app, config.port)
        NotesFiles(swarm.db, config, swarm.changes).start()
    run_simple(config.host, config.port, app, use_reloader=True, threaded=True)


def _begin(app: Flask, port: int) -> None:
    swarm: Swarm = app.extensions["swarm"]
    config = swarm.config
    url = f"http{'s' if config.tls_cert else ''}://{f'[{config.host}]' if ':' in config.host else config.host}:{port}"
    start_engine(app, url)
    print(f"HITL Swarm {VERSION}: {url}  (data in {config.data}; stop with Ctrl-C)\n{app.extensions['peers'].described()}", flush=True)


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=1024)
    except OSError as error:
        raise Refused(f"{config.host}:{config.port} cannot be used: {error.strerror}. HITL Swarm may be running already. "
                      "Set SWARM_PORT to another port, or to 0 for a free one.") from error


def _arguments() -> argparse.ArgumentParser:
    settings = "\n".join(f"  {s['name']:28} {s['meaning']} (now: {s['value']})" for s in Config.from_env().described())
    parser = argparse.ArgumentParser(prog="python app.py", description="Serves HITL Swarm: pages, API and engine in one process.",
                                     epilog=f"settings, from the environment:\n{settings}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"HITL Swarm {VERSION}")
    parser.add_argument("--reload", action="store_true", help="restart when a file of the program changes; runs continue")
    return parser


def main() -> int:
    """Runs the program -> 0 after a signal, 2 if it cannot start, with the reason on stderr."""
    log.to_stderr()
    os.umask(0o077)
    try:
        arguments = _arguments().parse_args()
        for sentence in unknown_settings():
            print(f"HITL Swarm: {sentence}", file=sys.stderr)
        (serve_with_reloader if arguments.reload else serve)(create_app())
    except Refused as refused:
        print(f"HITL Swarm does not start: {refused.sentence}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
