"""gunicorn -c gunicorn.conf.py 'app:create_app()': any number of workers serve, one of them has the engine; another takes over if it dies."""
import os

from engine.config import Config

_config = Config.from_env()
bind = f"{_config.host}:{_config.port}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 64  # a WebSocket holds one
timeout = 0   # a WebSocket lives as long as its page


def post_worker_init(worker) -> None:
    from app import start_engine
    start_engine(worker.app.callable)


def worker_exit(server, worker) -> None:
    worker.app.callable.extensions["swarm"].slot.stop()
