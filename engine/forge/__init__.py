"""The forges GitHub and GitLab, through their client libraries."""
import importlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.config import Config
from engine.errors import Permanent, Transient
from engine.forge.base import Forge, origin_of

KNOWN = {"github.com": "github", "gitlab.com": "gitlab"}
CLASSES = {"github": "GitHub", "gitlab": "GitLab"}
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")


@dataclass(frozen=True)
class Place:
    """A repository on a forge. web: scheme://host[:port] of its pages; project: owner/repo, on GitLab with all its groups."""

    forge: str
    web: str
    project: str


def place_of(config: Config, url: str) -> Place | None:
    """Where pull requests of the repository at this URL are opened; None: nowhere, it is a plain git remote for us.

    A forge needs a token, and the URL must be on its host: https://host/owner/repo.git, ssh://git@host/owner/repo or git@host:owner/repo."""
    if config.forge == "none" or not token_of(config):
        return None
    scheme, host, path = _split(url)
    project = path.strip("/").removesuffix(".git")
    web = config.forge_url or (f"https://{host}" if host in KNOWN else "")
    forge = config.forge if config.forge != "auto" else KNOWN.get(host) or ("gitlab" if "gitlab" in web else "github")
    if not web or not forge or not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+", project, re.ASCII) or (forge == "github" and project.count("/") != 1):
        return None
    web = origin_of(web)
    same = origin_of(url) == web if scheme in ("https", "http") else host == (urlsplit(web).hostname or "")
    return Place(forge, web, project) if same else None


def connect(config: Config, place: Place) -> Forge:
    """Raises Permanent with what to install where the library is missing."""
    try:
        module = importlib.import_module(f"engine.forge.{place.forge}")
    except ModuleNotFoundError as error:
        raise Permanent(f"Pull requests on {place.web} need the extra {place.forge!r}. Install it with .venv/bin/pip install -e '.[{place.forge}]' "
                        f"({error.name} is missing), and start again.") from error
    made: Forge = getattr(module, CLASSES[place.forge])(place.web, token_of(config), place.project)
    return made


def token_of(config: Config) -> str:
    """The token, or '' if there is none. A token file is read each time, because installation tokens live an hour.

    Raises Permanent for a file that cannot be read, Transient for an empty one, because the program that renews it may be writing it."""
    if config.forge_token_file is None:
        return config.forge_token
    try:
        token = config.forge_token_file.read_text(encoding="utf-8").strip()[:1000]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Permanent(f"SWARM_FORGE_TOKEN_FILE {config.forge_token_file} cannot be read: {why}.") from error
    if not token:
        raise Transient(f"SWARM_FORGE_TOKEN_FILE {config.forge_token_file} is empty. It will be tried again.")
    return token


def login_of(config: Config, url: str) -> dict[str, str]:
    """{"token", "user"} for git at this URL; {} where it is not on the forge that the token is for, or not reached by http(s)."""
    place = place_of(config, url)
    if place is None or not url.startswith(("https://", "http://")):
        return {}
    return {"token": token_of(config), "user": "oauth2" if place.forge == "gitlab" else "x-access-token"}


def _split(url: str) -> tuple[str, str, str]:
    """(scheme, host, path); a local path has no host."""
    if "://" not in url:
        found = _SCP.fullmatch(url)
        return ("ssh", found[1].lower(), found[2]) if found and not url.startswith("/") else ("file", "", url)
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.path
