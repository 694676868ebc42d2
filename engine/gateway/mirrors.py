"""Settings for a company's own registries: SWARM_MIRRORS, SWARM_EGRESS_PRIVATE and SWARM_EGRESS_PROXY, from text to values."""
import base64
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from engine.gateway.addresses import NAME, SETS

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_LOGIN = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+(?::[A-Za-z0-9._~!$&'()*+,;=:%-]*)?")
SHORT = 8
MIRRORS = f"<registry>=<URL> pairs separated by spaces, for {', '.join(SETS)}, such as pypi=https://nexus.example/simple"
PRIVATE = "host names like nexus.example, *.corp.example or nexus.example:8443, addresses, or * for all, separated by commas"
PARENT = "a proxy like http://proxy.example:3128 or http://user:password@proxy.example:3128"


def parse_mirrors(text: str) -> dict[str, str]:
    """-> {set: URL with its login, if it has one}. Raises ValueError, which repeats nothing of the text, because that may hold a login."""
    found: dict[str, str] = {}
    for part in text.split():
        name, equals, url = part.partition("=")
        url = url.removeprefix("sparse+") if name == "crates" else url
        if not equals or name not in SETS or name in found or _endpoint(url, ("https", "http")) is None:
            raise ValueError(f"{MIRRORS}; each registry once, https or http, and no query")
        found[name] = url
    return found


def parse_private(text: str) -> tuple[str, ...]:
    """-> names and addresses in lower case, each with :port or without. Raises ValueError."""
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    for name in names:
        host = split_port(name)[0]
        if host != "*" and not is_host(host.removeprefix("*.")):
            raise ValueError(PRIVATE)
    return tuple(dict.fromkeys(names))


def parse_parent(text: str) -> str:
    """-> the proxy's URL with its login, or ''. Raises ValueError, which repeats nothing of the text."""
    if text and (_endpoint(text, ("http",)) is None or urlsplit(text).path.strip("/")):
        raise ValueError(PARENT)
    return text.rstrip("/")


def without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def login_of(url: str) -> str:
    """user:password as it stands in a URL, percent-encoded; or ''."""
    return urlsplit(url).netloc.rpartition("@")[0]


def basic(login: str) -> str:
    """A login as http sends it after the word Basic."""
    return base64.b64encode(unquote(login if ":" in login else f"{login}:").encode()).decode()


def secrets_of(logins: Mapping[str, str]) -> dict[str, str]:
    """{setting: text that must be seen nowhere}: of each login the password, and what it is in a URL and in a header. Text that is so short that
    other text may hold it is left out."""
    found: dict[str, str] = {}
    for name, login in logins.items():
        setting = "SWARM_EGRESS_PROXY" if name == "proxy" else f"SWARM_MIRRORS ({name})"
        password = login.partition(":")[2] or login
        found |= {setting: unquote(password), f"{setting}, in a URL": password, f"{setting}, with its user": login, f"{setting}, in a header": basic(login)}
    return {what: text for what, text in found.items() if len(text) >= SHORT}


def logins(mirrors: Mapping[str, str], parent: str) -> dict[str, str]:
    """{set, or proxy: login} of those URLs that have one."""
    found = {**{name: login_of(url) for name, url in mirrors.items()}, "proxy": login_of(parent)}
    return {name: login for name, login in found.items() if login}


def endpoint(url: str) -> tuple[str, int]:
    """Host and port of a URL that was parsed here."""
    found = _endpoint(url, ("https", "http"))
    if found is None:
        raise ValueError(f"{without_login(url)} is no URL of a registry or proxy")
    return found


def _endpoint(url: str, schemes: tuple[str, ...]) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    login, at, _ = parts.netloc.rpartition("@")
    if parts.scheme not in schemes or parts.query or parts.fragment or not _PATH.fullmatch(parts.path) or (at and not _LOGIN.fullmatch(login)):
        return None
    return (host, port or (443 if parts.scheme == "https" else 80)) if is_host(host) and port != 0 else None


def is_host(text: str) -> bool:
    """A name, also one without a dot, or an address. localhost is none: inside a sandbox it is the sandbox."""
    return text != "localhost" and bool(NAME.fullmatch(text) or re.fullmatch(rf"(?=.*[a-z]){_LABEL}", text) or _is_address(text))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def split_port(name: str) -> tuple[str, str]:
    """'host:port' or '[address]:port' -> (host, port); port '' if there is none."""
    if _is_address(name):
        return name, ""
    match = re.fullmatch(r"(.*?)(?::([1-9][0-9]{0,4}))?", name)
    host, port = (match[1], match[2] or "") if match else (name, "")
    return host.removeprefix("[").removesuffix("]"), port
