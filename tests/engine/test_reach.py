"""Where the proxy connects to: mirrors, private addresses, other ports, a parent proxy. Names are looked up by the real code; the answers are the test's."""
import socket
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from gateway_side import Reply, side
from model_upstream import served
from registries import ADDRESS, listening, parent_proxy, silent

from engine.access import Routes
from engine.config import Config
from engine.errors import Refused
from engine.gateway import egress
from engine.gateway.addresses import kind_of
from engine.gateway.http1 import Refusal
from engine.gateway.mirrors import basic, endpoint, logins, parse_mirrors, parse_parent, parse_private, without_login
from engine.gateway.reach import Reach

METADATA = "169.254.169.254"


@pytest.fixture()
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """{name: the addresses of one look-up after the other}. The last answer stays."""
    answers: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: Any, **more: Any) -> Any:
        if host not in answers:
            if any(letter.isalpha() for letter in host):
                raise socket.gaierror(-2, "Name or service not known")
            return real(host, port, *rest, **more)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found.split()]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


def reach(*hosts: str, setup: bool = False, **routes: Any) -> Reach:
    return Reach(hosts, Routes(**routes), setup)


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(Refusal) as raised:
        call(*arguments)
    return raised.value.sentence


def test_a_mirror_stands_for_its_set_with_its_port_and_at_a_private_address(names: dict[str, list[str]]) -> None:
    names["nexus.corp.example"] = ["10.0.0.5"]
    here = reach("pypi", "npm", mirrors={"pypi": "https://nexus.corp.example:8443/simple", "go": "https://go.corp.example"})
    here.check("nexus.corp.example", 8443)
    assert here.addresses("nexus.corp.example", 8443) == [("10.0.0.5", 8443)]
    here.check("registry.npmjs.org", 443)
    assert "SWARM_MIRRORS has pypi=https://nexus.corp.example:8443/simple in its place" in refused(here.check, "files.pythonhosted.org", 443)
    assert "at port 8443 alone (SWARM_MIRRORS)" in refused(here.check, "nexus.corp.example", 22)
    assert "Runs may not reach go.corp.example" in refused(here.check, "go.corp.example", 443)


@pytest.mark.parametrize(("address", "private", "words"), [
    ("10.0.0.5", (), "nexus.corp.example is at 10.0.0.5, a private address. The operator can allow it: SWARM_EGRESS_PRIVATE=nexus.corp.example"),
    ("10.0.0.5", ("nexus.corp.example",), None), ("10.0.0.5", ("*.corp.example",), None), ("10.0.0.5", ("*",), None), ("fd00::5", ("*",), None),
    ("10.0.0.5", ("nexus.corp.example:8443",), "a private address"), ("10.0.0.5", ("other.corp.example",), "a private address"),
    ("127.0.0.1", ("*",), "an address of this computer itself"), ("127.0.0.1", ("*.corp.example",), "this computer itself"),
    ("127.0.0.1", ("nexus.corp.example",), None),
    *((address, private, "metadata or reserved address") for address in (METADATA, "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "224.0.0.1",
                                                                         "::ffff:10.0.0.5")
      for private in (("*",), ("nexus.corp.example",))),
    (METADATA, ("nexus.corp.example", METADATA), None), ("10.0.0.5 8.8.8.8", (), "a private address"), ("8.8.8.8", (), None)])
def test_which_addresses_a_name_may_have(names: dict[str, list[str]], address: str, private: tuple[str, ...], words: str | None) -> None:
    names["nexus.corp.example"] = [address]
    here = reach("nexus.corp.example", private=private)
    if words is None:
        assert here.addresses("nexus.corp.example", 443)
    else:
        assert words in refused(here.addresses, "nexus.corp.example", 443)


def test_other_ports_are_for_hosts_that_the_operator_named() -> None:
    for private, port, allowed in (((), 8443, False), (("nexus.corp.example",), 8443, True), (("nexus.corp.example:8443",), 8443, True),
                                   (("nexus.corp.example:8443",), 22, False), (("*",), 8443, False), (("*:8443",), 8443, True), (("*",), 443, True)):
        here = reach("nexus.corp.example", private=private)
        if allowed:
            here.check("nexus.corp.example", port)
        else:
            assert f"SWARM_EGRESS_PRIVATE=nexus.corp.example:{port}" in refused(here.check, "nexus.corp.example", port)
    assert "is not on the list of this setup" in refused(reach("npm", setup=True, private=("nexus.corp.example",)).check, "nexus.corp.example", 443)


def test_kinds_of_addresses() -> None:
    assert [kind_of(text) for text in ("8.8.8.8", "10.1.1.1", "127.8.8.8", "::1", METADATA, "168.63.129.16", "64:ff9b::a00:1", "fe80::1%eth0")] == \
        ["public", "private", "own", "own", "special", "special", "special", "special"]


def test_the_address_that_was_checked_is_the_one_connected_to(tmp_path: Path, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The name has a public address when it is looked up, and an inner one for whoever looks again."""
    names["rebind.example"] = ["8.8.8.8", "127.0.0.1"]
    connected: list[Any] = []

    def connect(address: Any, *rest: Any) -> socket.socket:
        connected.append(address)
        raise OSError("not from a test")

    monkeypatch.setattr(egress.socket, "create_connection", connect)
    with side(tmp_path, hosts=("rebind.example",)) as gateway:
        assert connect_to(gateway, "rebind.example:80").status == 502
        assert connected == [("8.8.8.8", 80)]
        assert "127.0.0.1, an address of this computer itself" in connect_to(gateway, "rebind.example:80").json["error"]


def connect_to(gateway: Any, target: str) -> Reply:
    return gateway.raw(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())


def test_a_refusal_says_host_and_setting_in_its_body_and_in_the_line_that_clients_show(tmp_path: Path, names: dict[str, list[str]]) -> None:
    names["nexus.corp.example"] = ["10.0.0.5"]
    with side(tmp_path, hosts=("nexus.corp.example",), kind="setup") as gateway:
        reply = connect_to(gateway, "nexus.corp.example:443")
        assert reply.status == 403 and "SWARM_EGRESS_PRIVATE=nexus.corp.example" in reply.json["error"]
        with gateway.connect() as sock:
            sock.sendall(b"CONNECT other.example:443 HTTP/1.1\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 403 other.example is not on the list of this setup.")
        until(lambda: len(gateway.requests()) == 2)
        assert len(gateway.service.notices()) == 2 and gateway.service.notices() == []
        assert {host for host, _ in gateway.service.take_troubles()} == {"nexus.corp.example", "other.example"} and gateway.service.take_troubles() == []


def test_public_hosts_go_through_the_parent_proxy_with_its_login_and_inner_ones_do_not(tmp_path: Path, names: dict[str, list[str]]) -> None:
    names |= {"pypi.org": ["151.101.0.223"], "nexus.corp.example": [ADDRESS]}
    with served(lambda handler, body: handler.answer({"ok": True})) as upstream:
        to = ("127.0.0.1", int(upstream.url.rpartition(":")[2]))
        with parent_proxy(to, "me:p@ss word") as (parent, asked):
            routes = Routes(parent=parent, mirrors={"npm": f"http://nexus.corp.example:{to[1]}/npm"})
            with side(tmp_path, hosts=("pypi", "npm", "unknown.example"), routes=routes, logins={"proxy": "me:p%40ss%20word"}) as gateway:
                for host in ("pypi.org", "unknown.example"):  # the second one only the parent can look up
                    assert gateway.raw(f"GET http://{host}/x?y=1 HTTP/1.1\r\n\r\n".encode()).json == {"ok": True}
                    with gateway.connect() as sock:
                        sock.sendall(f"CONNECT {host}:80 HTTP/1.1\r\n\r\n".encode())
                        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
                        sock.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        assert sock.recv(1000).startswith(b"HTTP/1.")
                assert asked == [f"{line} HTTP/1.1" for host in ("pypi.org", "unknown.example") for line in (f"GET http://{host}/x?y=1", f"CONNECT {host}:80")]
                assert connect_to(gateway, f"nexus.corp.example:{to[1]}").status in (502, 403)  # directly, where nothing listens
                assert len(asked) == 4
                names["pypi.org"] = ["10.0.0.5"]
                assert "a private address" in connect_to(gateway, "pypi.org:443").json["error"] and len(asked) == 4
            text = (gateway.folder / "requests.jsonl").read_text()
            assert "p@ss" not in text and basic("me:p%40ss%20word") not in text


def test_a_parent_proxy_that_refuses_or_is_not_there_is_named_without_its_login(tmp_path: Path, names: dict[str, list[str]]) -> None:
    names["pypi.org"] = ["151.101.0.223"]
    with parent_proxy((ADDRESS, 9), "me:right-password") as (parent, _), \
            side(tmp_path, hosts=("pypi",), routes=Routes(parent=parent), logins={"proxy": "me:wrong-password"}) as gateway:
        said = connect_to(gateway, "pypi.org:443").json["error"]
        assert f"the proxy {parent} of SWARM_EGRESS_PROXY wants a user and a password, or others (status 407)" in said and "wrong" not in said
    with side(tmp_path, run="run-2", hosts=("pypi",), routes=Routes(parent=parent), logins={"proxy": "me:wrong-password"}) as gateway:
        assert connect_to(gateway, "pypi.org:443").json["error"] == f"The proxy {parent} of SWARM_EGRESS_PROXY could not be reached."


def test_a_host_that_answers_nothing_is_left_and_named(tmp_path: Path, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSWER_SECONDS", "HEAD_SECONDS"):
        monkeypatch.setattr(egress, name, 0.2)
    with listening(silent) as (host, port):
        names["nexus.corp.example"] = [host]
        with side(tmp_path, hosts=("npm",), routes=Routes({"npm": f"https://nexus.corp.example:{port}"})) as gateway:
            with gateway.connect() as sock:
                sock.sendall(f"CONNECT nexus.corp.example:{port} HTTP/1.1\r\n\r\nhello?".encode())
                while sock.recv(1000):
                    pass
            until(gateway.requests)
            sentence = f"nexus.corp.example:{port} was reached, but it answered nothing. SWARM_MIRRORS names it for npm."
            assert gateway.service.take_troubles() == [(f"nexus.corp.example:{port}", sentence)]
            reply = gateway.raw(f"GET http://nexus.corp.example:{port}/ HTTP/1.1\r\n\r\n".encode())
            assert (reply.status, reply.json["error"]) == (504, sentence)


def test_settings_are_read_and_a_wrong_one_never_repeats_a_login() -> None:
    text = "pypi=https://me:s3cret%2Fword@nexus.example/simple npm=https://nexus.example:8443/npm/ crates=sparse+https://nexus.example/cargo/"
    config = Config.from_env({"SWARM_MIRRORS": text, "SWARM_EGRESS_PROXY": "http://me:s3cret-word@proxy.example:3128",
                              "SWARM_EGRESS_PRIVATE": "Nexus.example, *.corp.example:8443,10.0.0.5, [fd00::5]:80,*"})
    assert config.mirrors == parse_mirrors(text) and config.mirrors["crates"] == "https://nexus.example/cargo/"
    assert config.egress_private == ("nexus.example", "*.corp.example:8443", "10.0.0.5", "[fd00::5]:80", "*")
    assert endpoint(config.egress_proxy) == ("proxy.example", 3128) and without_login(config.egress_proxy) == "http://proxy.example:3128"
    assert logins(config.mirrors, config.egress_proxy) == {"pypi": "me:s3cret%2Fword", "proxy": "me:s3cret-word"}
    assert "s3cret" not in repr(config) + str(config.described({}))
    for name, wrong in (("SWARM_MIRRORS", "pypi=ftp://me:s3cret@x"), ("SWARM_MIRRORS", "conda=https://me:s3cret@x"), ("SWARM_MIRRORS", "https://me:s3cret@x"),
                        ("SWARM_MIRRORS", "pypi=https://me:s3cret@x/?a=1"), ("SWARM_MIRRORS", "pypi=https://me:s3cret@localhost:1/"),
                        ("SWARM_MIRRORS", "pypi=https://a/ pypi=https://me:s3cret@b/"), ("SWARM_EGRESS_PROXY", "https://me:s3cret@x"),
                        ("SWARM_EGRESS_PROXY", "http://me:s3cret@x/path"), ("SWARM_EGRESS_PRIVATE", "http://x"), ("SWARM_EGRESS_PRIVATE", "a b"),
                        ("SWARM_EGRESS_PRIVATE", "10.0.0.0/8"), ("SWARM_EGRESS_CA", "/nothing/here.pem")):
        with pytest.raises(Refused) as raised:
            Config.from_env({name: wrong})
        assert name in raised.value.sentence and "s3cret" not in raised.value.sentence
    assert parse_private("") == () and parse_parent("") == "" and parse_mirrors("") == {}
