"""Where a run may go: which host and port, and at which addresses. What it refuses, it refuses in the words of the setting that would allow it."""
from collections.abc import Iterable

from engine.access import Routes
from engine.gateway.addresses import PORTS, SETS, Address, expanded, is_listed, kind_of, look_up
from engine.gateway.http1 import Refusal
from engine.gateway.mirrors import endpoint, split_port

PUBLIC = {host: name for name, hosts in SETS.items() for host in hosts}


class Reach:
    """hosts: names and sets of one run. A set that has a mirror stands for that mirror alone. setup: True in words for the run that makes an environment."""

    def __init__(self, hosts: Iterable[str], routes: Routes, setup: bool = False) -> None:
        named = tuple(hosts)
        self.mirrors = {name: url for name, url in routes.mirrors.items() if name in named}
        self._ends = {endpoint(url): name for name, url in self.mirrors.items()}
        self._hosts = expanded(name for name in named if name not in self.mirrors)
        self._private = [split_port(name) for name in routes.private]
        self._setup = setup
        self.named = {host for host, _ in self._ends} | {host for host, _ in self._private}

    def check(self, host: str, port: int) -> None:
        """Raises Refusal for a host or a port that is not on the list."""
        if (host, port) in self._ends:
            return
        if not is_listed(host, self._hosts):
            raise Refusal(403, "not_allowed", self._not_listed(host, port))
        if port not in PORTS and not self._is_private(host, port):
            raise Refusal(403, "not_allowed", f"The proxy connects only to ports {PORTS[0]} and {PORTS[1]}, not to {host}:{port}. "
                          f"The operator can allow this one: SWARM_EGRESS_PRIVATE={host}:{port}, or SWARM_MIRRORS for a registry.")

    def addresses(self, host: str, port: int) -> list[Address]:
        """All addresses of a host. Raises Refusal when there are none, or when one is not allowed, because the operator did not mean such a name."""
        found = look_up(host, port)
        for address, _ in found:
            self._check_address(host, port, address)
        return found

    def _check_address(self, host: str, port: int, address: str) -> None:
        kind = kind_of(address)
        if kind == "public" or self._is_named(address, port) or (host == address and (host, port) in self._ends):
            return
        mirror = (host, port) in self._ends
        if kind == "own" and (mirror or self._is_named(host, port)):
            return
        if kind == "private" and (mirror or self._is_private(host, port)):
            return
        if kind == "special":
            raise Refusal(403, "not_allowed", f"{host} is at {address}, where no registry is: a link-local, metadata or reserved address. "
                          f"It stays refused unless the operator names the address itself: SWARM_EGRESS_PRIVATE={address}")
        whose = "a private address" if kind == "private" else "an address of this computer itself"
        raise Refusal(403, "not_allowed", f"{host} is at {address}, {whose}. The operator can allow it: SWARM_EGRESS_PRIVATE={host}")

    def _is_named(self, host: str, port: int) -> bool:
        """The operator named exactly this."""
        return any(host == name and wanted in ("", str(port)) for name, wanted in self._private)

    def _is_private(self, host: str, port: int) -> bool:
        return any((name == "*" or is_listed(host, (name,))) and (wanted == str(port) or (not wanted and (name != "*" or port in PORTS)))
                   for name, wanted in self._private)

    def _not_listed(self, host: str, port: int) -> str:
        mirrored = self.mirrors.get(PUBLIC.get(host, ""))
        if mirrored:
            return f"{host} is not used here: SWARM_MIRRORS has {PUBLIC[host]}={mirrored} in its place. Let the tool use that, or add {host} to the hosts."
        end = next((each for each in self._ends if each[0] == host), None)
        if end:
            return f"{host} may be reached at port {end[1]} alone (SWARM_MIRRORS), not at {port}."
        if self._setup:
            return (f"{host} is not on the list of this setup. Add it to the hosts on the repository's page, or let the operator name "
                    "a mirror of its registry in SWARM_MIRRORS.")
        return f"Runs may not reach {host}. The operator can add it to SWARM_EGRESS_HOSTS."

    def unreachable(self, host: str, port: int) -> str:
        """What to do when a host that is allowed does not answer."""
        if (host, port) in self._ends:
            return f"SWARM_MIRRORS names it for {self._ends[host, port]}."
        if host in PUBLIC:
            return f"Behind a company's firewall, the operator can set SWARM_EGRESS_PROXY, or SWARM_MIRRORS for a mirror of {PUBLIC[host]}."
        return ""
