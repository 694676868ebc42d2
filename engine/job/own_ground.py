"""What the runs of a build stand on: its environment, or one that was made for a change; and how one is made for a commit that needs another."""
from typing import NamedTuple

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import parse
from engine.ground import Ground, Setup
from engine.job.setup_job import access_of
from engine.jobs import Access
from engine.repositories import snapshots
from engine.repositories.settings import Settings
from engine.store.db import Database
from engine.tickets.rows import RunRow, TicketRow


class OwnGround(NamedTuple):
    ground: Ground | None = None
    setup: Setup | None = None
    access: Access | None = None


def own_ground(db: Database, config: Config, run: RunRow, ticket: TicketRow, own: Settings | None, build: Ground | None, resumes: bool) -> OwnGround:
    """build: what the build stands on; own: settings of its repository. resumes: the run begins with what its ticket has done before, so it stands on
    what was made for that."""
    said = layers.made_of(layers.root(config.data) / build.key) if build and build.key else None
    if build is None or own is None or said is None:
        return OwnGround(build)
    is_feature = run["kind"] == "feature"
    known = snapshots.of_ticket(db, ticket["id"]) if is_feature else snapshots.of_merged(db, ticket["session_id"])
    here = next((key for key in known if layers.read(layers.root(config.data) / key)), build.key) if is_feature and resumes else build.key
    setup = Setup(dict(said["steps"]), base=build.key, ticket=ticket["id"], seconds=own.setup_seconds, disk_mb=own.setup_mb, tenant=ticket["tenant_id"],
                  known=(*known, build.key))
    return OwnGround(build._replace(key=here), setup, access_of(config, own, parse(said["steps"])))
