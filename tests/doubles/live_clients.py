"""Clients of the WebSocket in the process of the server, and the threads that they cost there."""
import socket
import threading

from conftest import until
from serving import websocket
from simple_websocket import Client


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def started(before: set[threading.Thread]) -> list[str]:
    """Threads that were not there before and belong to one client. The readers serve all of them."""
    return [thread.name for thread in set(threading.enumerate()) - before if not thread.name.startswith("live-reader")]


def follows() -> None:
    """Waits until the server tells a client, which is the only one, what happens from now on."""
    until(lambda: "broadcast" in names())


def connected(port: int, query: str = "") -> Client:
    return websocket(f"ws://127.0.0.1:{port}/ws{query}", headers={"Origin": f"http://127.0.0.1:{port}"})


def asked(raw: socket.socket, port: int, path: str = "/ws", **headers: str) -> None:
    """Sends the request for a WebSocket, as bytes: a refused one must be seen as it is."""
    lines = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
             "Sec-WebSocket-Version": "13", **headers}
    raw.sendall(f"GET {path} HTTP/1.1\r\n{''.join(f'{name}: {value}' + chr(13) + chr(10) for name, value in lines.items())}\r\n".encode())
