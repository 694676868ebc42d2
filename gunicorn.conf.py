"""gunicorn -c gunicorn.conf.py 'app:create_app()': any number of workers serve, one of them has the engine; another takes over if it dies.

What `python app.py` sees to at its start, this file sees to for gunicorn: the log, the umask, and that only loopback addresses are listened on."""
import os
import sys

from engine import log
from engine.config import Config, unknown_settings
from engine.errors import Refused
from engine.setting_values import loopback

log.to_stderr()
os.umask(0o077)
try:
    _config = Config.from_env()
except Refused as refused:
    sys.exit(f"HITL Swarm does not start: {refused.sentence}")
bind = f"{f'[{_config.host}]' if ':' in _config.host else _config.host}:{_config.port}"
umask = 0o077
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 64  # a WebSocket holds one
timeout = 0   # a WebSocket lives as long as its page


def on_starting(server) -> None:
    """Every address, also one of the command line, is held to the rule of SWARM_HOST. The file of a Unix socket has its own permissions."""
    for sentence in unknown_settings():
        print(f"HITL Swarm: {sentence}", file=sys.stderr)
    for host, _ in (address for address in server.cfg.address if isinstance(address, tuple)):
        try:
            loopback(host)
        except ValueError as why:
            print(f"HITL Swarm does not start: --bind {host or repr(host)} is not valid. Allowed: {why}. Change it and start again.", file=sys.stderr)
            sys.exit(2)
    if _config.tls_cert or _config.tls_key or server.cfg.is_ssl:
        print("HITL Swarm does not start: gunicorn does not serve it by TLS, which its WebSockets cannot use there. Serve it by python app.py,"
              " or leave TLS to a reverse proxy and unset SWARM_TLS_CERT and SWARM_TLS_KEY.", file=sys.stderr)
        sys.exit(2)


def post_worker_init(worker) -> None:
    from app import start_engine
    from hitl.views.notes_files import NotesFiles
    start_engine(worker.app.callable)
    parts = worker.app.callable.extensions["swarm"]
    NotesFiles(parts.db, parts.config, parts.changes).start()


def worker_exit(server, worker) -> None:
    worker.app.callable.extensions["swarm"].slot.stop()
