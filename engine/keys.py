"""What a run gets on its standard input, and nowhere else: keys of models, the login of a forge, secrets of a setup, logins of registries."""
import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

NONE: Mapping[str, str] = MappingProxyType({})
BYTES = 8_000_000  # more than all secrets of an environment


class Keys(NamedTuple):
    """models: {shape: key}. forge: {token, user}. secrets: {name: value}. routes: {set of registries, or proxy: user:password as in a URL}."""

    models: Mapping[str, str] = NONE
    forge: Mapping[str, str] = NONE
    secrets: Mapping[str, str] = NONE
    routes: Mapping[str, str] = NONE


def take_keys() -> Keys:
    """Reads standard input, which is /dev/null afterwards."""
    data = b""
    while (piece := os.read(0, 1 << 20)) and len(data) < BYTES:
        data += piece
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Keys(**json.loads(data)) if data else Keys()
