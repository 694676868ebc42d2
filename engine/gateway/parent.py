"""The company's proxy, through which public hosts are reached where this machine has no way of its own (SWARM_EGRESS_PROXY)."""
import socket

from engine.gateway import http1
from engine.gateway.http1 import Gone, Refusal, Wire
from engine.gateway.mirrors import basic, endpoint

SECONDS = 15.0         # for a connection to it
ANSWER_SECONDS = 30.0  # for its answer to CONNECT, because it connects first itself


class Parent:
    """address: its host:port. login: user:password as in a URL, or ''. It looks names up itself: addresses are its matter."""

    def __init__(self, address: str, login: str) -> None:
        self._address = address
        self.fields = [("proxy-authorization", f"Basic {basic(login)}")] if login else []

    def connect(self, end: float) -> Wire:
        """A connection to the proxy itself. Raises Refusal."""
        try:
            return Wire(socket.create_connection(endpoint(f"http://{self._address}"), SECONDS), end)
        except OSError:
            raise Refusal(502, "unreachable", f"The proxy {self._address} of SWARM_EGRESS_PROXY could not be reached.") from None

    def tunnel(self, host: str, port: int, end: float) -> Wire:
        """A connection to a host. Raises Refusal, with the proxy's own status."""
        up, target = self.connect(end), f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            up.send(http1.head_bytes(f"CONNECT {target} HTTP/1.1", [("host", target), *self.fields]))
            head = http1.read_head(up, request=False, seconds=ANSWER_SECONDS)
        except (Gone, Refusal):
            head = None
        status = head.start[1] if head else ""
        if status.startswith("2"):
            return up
        up.close()
        known = {"": "did not answer as a proxy does", "407": "wants a user and a password, or others (status 407)"}
        why = known.get(status, f"refused it with status {status}")
        raise Refusal(502, "unreachable", f"{host} could not be reached: the proxy {self._address} of SWARM_EGRESS_PROXY {why}.")
