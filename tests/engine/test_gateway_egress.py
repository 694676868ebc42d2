"""The proxy: listed hosts only, public addresses only, bytes counted, everything recorded."""
import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import require, until
from gateway_side import Side, read_reply, side
from model_upstream import Handler, certificate, served

from engine.access import Routes
from engine.gateway.addresses import SETS, expanded, host_and_port, is_listed, is_public, parse_hosts
from engine.gateway.http1 import Refusal
from engine.gateway.reach import Reach


def at(url: str) -> Any:
    """Every name is at the port of this server: what the operator's resolver would say."""
    port = int(url.rpartition(":")[2])
    return lambda host, wanted: [("127.0.0.1", port)]


def test_a_listed_host_is_reached_by_http_without_the_proxys_own_headers(tmp_path: Path) -> None:
    with served(lambda handler, body: handler.answer({"ok": True})) as upstream:
        with side(tmp_path, hosts=("registry.example",), names=at(upstream.url)) as gateway:
            reply = gateway.raw(b"GET http://registry.example/pkg?x=1 HTTP/1.1\r\nHost: other\r\nProxy-Authorization: Basic x\r\n"
                                b"Proxy-Connection: a\r\nAuthorization: mine\r\n\r\n")
            assert (reply.status, reply.json) == (200, {"ok": True})
            seen = upstream.seen[0]
            assert (seen.path, seen.headers["host"], seen.headers["authorization"]) == ("/pkg?x=1", "registry.example", "mine")
            assert "proxy-authorization" not in seen.headers and "proxy-connection" not in seen.headers
            gateway.raw(b'POST http://registry.example/up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n')
            assert upstream.seen[1].body == {"a": 1}
            line = until(gateway.requests)[0]
            assert (line["host"], line["path"], line["status"], line["allowed"], line["received"]) == ("registry.example", "/pkg", 200, True, 12)
            assert gateway.service.usage()["egress"]["hosts"][0]["host"] == "registry.example"


@pytest.mark.parametrize("target", [
    "evil.example:443", "registry.example.evil.example:443", "xregistry.example:443", "127.0.0.1:443", "[::1]:443", "2130706433:443",
    "registry.example:22", "registry.example:8443", "localhost:443", "0x7f.1:443", "registry.example@evil.example:443"])
def test_everything_that_is_not_listed_is_refused_and_recorded(tmp_path: Path, target: str) -> None:
    with served() as upstream, side(tmp_path, hosts=("registry.example",), names=at(upstream.url)) as gateway:
        reply = gateway.raw(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert (reply.status, reply.json["code"]) == (403, "not_allowed")
        line = until(lambda: gateway.requests())[0]
        assert (line["allowed"], line["method"], line["side"], bool(line["why"])) == (False, "CONNECT", "egress", True)
        assert gateway.service.usage()["egress"]["refused"] == 1 and upstream.seen == []


def test_a_name_that_points_inside_is_refused() -> None:
    with pytest.raises(Refusal, match=r"localhost is at .*, an address of this computer itself"):
        Reach((), Routes()).addresses("localhost", 443)


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
    "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:8.8.8.8",
    "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001::1", "2001:db8::1", "fec0::1", "nonsense"])
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "151.101.0.223", "2606:4700::1111", "64:ff9b::808:808"])
def test_an_address_that_is_public(address: str) -> None:
    assert is_public(address)


def test_names_sets_and_what_is_below_a_name() -> None:
    hosts = expanded(parse_hosts(" PyPI, *.Example.org ,pypi, a.b."))
    assert hosts == (*SETS["pypi"], "*.example.org", "a.b")
    assert is_listed("x.y.example.org", hosts) and not is_listed("example.org", hosts) and not is_listed("xexample.org", hosts)
    assert host_and_port("A.Example.ORG.:80", 443) == ("a.example.org", 80)
    for bad in ("http://pypi.org", "pypi.org:443", "*", "a b.c", "10.0.0.1"):
        with pytest.raises(ValueError, match="host names"):
            parse_hosts(bad)


def test_tls_goes_through_connect_end_to_end(tmp_path: Path) -> None:
    require("openssl")
    own = certificate(tmp_path, "localhost")
    context = ssl.create_default_context(cafile=str(own))
    big = json.dumps("x" * 3_000_000).encode()
    with served(lambda handler, body: handler.answer(big), own) as upstream:
        with side(tmp_path, hosts=("registry.example",), names=at(upstream.url)) as gateway, gateway.connect() as sock:
            sock.sendall(b"CONNECT registry.example:443 HTTP/1.1\r\nHost: registry.example:443\r\n\r\n")
            assert sock.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            with context.wrap_socket(sock, server_hostname="localhost") as secure:
                secure.sendall(b"GET /pkg HTTP/1.1\r\nHost: registry.example\r\n\r\n")
                assert read_reply(secure).body == big
            line = until(lambda: gateway.requests())[0]
            assert (line["host"], line["path"], line["status"]) == ("registry.example", "", 200) and line["received"] > 3_000_000


def test_a_run_that_has_moved_its_bytes_moves_no_more(tmp_path: Path) -> None:
    with served(lambda handler, body: handler.answer(b"x" * 1_500_000)) as upstream:
        with side(tmp_path, hosts=("registry.example",), names=at(upstream.url), megabytes=1) as gateway:
            first = gateway.raw(b"GET http://registry.example/ HTTP/1.1\r\n\r\n")
            assert len(first.body) <= 1_000_000
            second = gateway.raw(b"GET http://registry.example/ HTTP/1.1\r\n\r\n")
            assert (second.status, second.json["code"]) == (403, "egress_used_up")
            until(lambda: len(gateway.requests()) == 2)
            assert "more than 1 MB" in gateway.requests()[0]["why"]


def test_one_side_may_end_before_the_other(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def upper() -> None:
        sock = server.accept()[0]
        with sock:
            data = b""
            while piece := sock.recv(1000):
                data += piece
            sock.sendall(data.upper())

    threading.Thread(target=upper, daemon=True).start()
    with server, side(tmp_path, hosts=("registry.example",), names=lambda host, port: [server.getsockname()]) as gateway, gateway.connect() as sock:
        sock.sendall(b"CONNECT registry.example:443 HTTP/1.1\r\n\r\nearly ")
        assert sock.recv(39, socket.MSG_WAITALL).endswith(b"\r\n\r\n")
        sock.sendall(b"and late")
        sock.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"EARLY AND LATE"


def test_clients_that_send_even_the_gateways_own_address_through_the_proxy_get_there(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway:
        body = b'{"model": "m"}'
        rest = f"Authorization: Bearer {gateway.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        assert gateway.raw(b"POST http://127.0.0.1:8787/openai/v1/chat/completions HTTP/1.1\r\n" + rest).status == 200
        with gateway.connect() as sock:
            sock.sendall(b"CONNECT localhost:8787 HTTP/1.1\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            sock.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\n" + rest)
            assert read_reply(sock).status == 200


def test_the_record_of_requests_is_bounded_and_holds_no_secrets(tmp_path: Path) -> None:
    with side(tmp_path) as gateway:
        gateway.raw(b"GET http://evil.example/" + b"p" * 5000 + b"?key=secret HTTP/1.1\r\nAuthorization: secret\r\n\r\n")
        text = until(lambda: (gateway.folder / "requests.jsonl").read_text())
        assert "secret" not in text and len(text) < 1500
        _fill(gateway)
        assert len(gateway.requests()) == 10_000 and gateway.service.usage()["egress"]["requests"] == 10_101
        assert gateway.requests()[-1]["number"] == gateway.requests()[-1]["refused"] == 10_000
        assert gateway.service.usage()["asked"] == {"requests": 10_101, "refused": 10_101, "recorded": 10_000}
        assert len(gateway.service.usage()["egress"]["hosts"]) <= 200


def _fill(gateway: Side) -> None:
    from engine.gateway.record import Asked
    for number in range(10_100):
        gateway.service._record.add(Asked("egress", "CONNECT", f"h{number}.example:443"))


def test_an_upstream_that_says_nothing_of_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    def plain(handler: Handler, body: Any) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    with served(plain) as upstream, side(tmp_path, hosts=("registry.example",), names=at(upstream.url)) as gateway:
        assert gateway.raw(b"GET http://registry.example/ HTTP/1.1\r\n\r\n").body == b"all of it"
