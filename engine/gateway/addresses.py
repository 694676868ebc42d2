"""Host names that the proxy allows, and addresses that it may connect to."""
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable

from engine.gateway.http1 import Refusal

# Hosts of the common package registries. A run that may fetch from a host may also send data to it, so keep the list short.
SETS = {
    "npm": ("registry.npmjs.org",),
    "pypi": ("pypi.org", "files.pythonhosted.org"),
    "debian": ("deb.debian.org", "security.debian.org"),
    "ubuntu": ("archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com"),
    "go": ("proxy.golang.org", "sum.golang.org"),
    "crates": ("crates.io", "index.crates.io", "static.crates.io"),
    "rubygems": ("rubygems.org", "index.rubygems.org"),
    "maven": ("repo.maven.apache.org", "repo1.maven.org"),
    "packagist": ("repo.packagist.org", "packagist.org"),
}
PORTS = (80, 443)
NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
# Where clouds answer questions about the machine, with its credentials. Some of these are in networks that are else private or public.
METADATA = tuple(map(ipaddress.ip_address, ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",
                                            "fd20:ce::254")))
Address = tuple[str, int]
Resolve = Callable[[str, int], list[Address]]


def parse_hosts(text: str) -> tuple[str, ...]:
    """Parses names, `*.name` for all names below one, and names of SETS. Raises ValueError, which says what is allowed."""
    names = [part.strip().lower().rstrip(".") for part in text.split(",") if part.strip()]
    for name in names:
        if name not in SETS and not NAME.fullmatch(name.removeprefix("*.")):
            raise ValueError(f"host names like pypi.org or *.example.org, or {', '.join(SETS)}, separated by commas")
    return tuple(dict.fromkeys(names))


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(host for name in names for host in SETS.get(name, (name,))))


def host_and_port(authority: str, default: int, named: Iterable[str] = ()) -> tuple[str, int]:
    """Host and port of a request. named: the operator's own hosts, which alone may be addresses or names without a dot. Raises Refusal."""
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, str(default)
    host = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    if not (NAME.fullmatch(host) or host in named) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise Refusal(403, "not_allowed", "The proxy accepts only host names, not addresses, unless SWARM_EGRESS_PRIVATE or SWARM_MIRRORS names them.")
    return host, int(port)


def is_listed(host: str, hosts: Iterable[str]) -> bool:
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in hosts)


def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a name. Connect to exactly these, because a second look-up might give others. Raises Refusal when there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refusal(502, "unreachable", f"The name {host} could not be resolved.") from None
    return [(address, port) for address in dict.fromkeys(str(each[4][0]) for each in found)]


def kind_of(text: str) -> str:
    """public; private: of a company's network; own: of this machine; special: everything else, and metadata services of clouds."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # with a zone, for example
        return "special"
    if address in METADATA:
        return "special"
    if is_public(text):
        return "public"
    if address.is_loopback and not getattr(address, "ipv4_mapped", None):
        return "own"
    return "private" if any(address.version == network.version and address in network for network in _PRIVATE) else "special"


def is_public(text: str) -> bool:
    """Not private, loopback, link-local, multicast, unspecified, shared (CGNAT), reserved, nor one of these written as IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # with a zone, for example
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.sixtofour or address.teredo:
            return False
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_unspecified or address.is_reserved or address.is_loopback
                                      or address.is_link_local or address.is_private)
