"""What the prompt says about the network: which hosts this run can reach, in its kind of sandbox."""
from collections.abc import Mapping

from engine.access import NOTHING
from engine.gateway.addresses import SETS
from engine.jobs import Access
from engine.runtimes.base import Runtime

NONE = "There is no network: no host can be reached, by you and by the ticket's checks. Work with what is installed and what the repository has."
MODEL_ONLY = ("There is no network: you reach your own model and no other host. The ticket's checks reach nothing. "
              "Work with what is installed and what the repository has.")
OPEN = "Nothing isolates you from the computer that you work on: commands use its network and run as one of its users. The ticket's checks do, too."


def network(runtime: Runtime, access: Access | None) -> str:
    """Sentences for the prompt. access: of the run, or None if it has no gateway."""
    hosts, mirrors = (access.hosts, access.routes.mirrors) if access else ((), NOTHING)
    if not runtime.isolates:
        return OPEN + (f" {_proxy(hosts, mirrors)}" if hosts else "")
    if not hosts:
        return MODEL_ONLY if access else NONE
    return f"There is no network but one proxy. {_proxy(hosts, mirrors)} You and the ticket's checks reach no other host" \
        + (", and only you reach your model." if access and access.models else ".")


def _proxy(hosts: tuple[str, ...], mirrors: Mapping[str, str]) -> str:
    places = {name: mirrors.get(name) or ", ".join(SETS[name]) for name in hosts if name in SETS}
    named = "; ".join(f"{places[name]} (registry {name})" if name in places else name for name in hosts)
    below = " (* stands for any name below)" if any(name.startswith("*.") for name in hosts) else ""
    return f"HTTP_PROXY and HTTPS_PROXY are set to a proxy that lets http and https through, on ports 80 and 443, to these hosts alone: {named}{below}."
