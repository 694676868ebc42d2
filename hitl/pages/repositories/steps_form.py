"""The form of an environment's steps: a row for each command, and what else the steps say."""
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import request
from werkzeug.datastructures import MultiDict

from engine.environments.steps import COMMANDS, Steps, parse
from engine.errors import BadRequest
from hitl.web import strict_json
from hitl.web.numbers import whole_number

REST = ("update", "inputs", "services", "secrets", "days")  # what the form takes as JSON


class Row(NamedTuple):
    command: str
    on: bool = True


class Typed(NamedTuple):
    """hosts: one a line. env: NAME=value, one a line. rest: JSON of the keys REST, '' for none. seen: sha256 of the steps that the form began with."""

    rows: list[Row]
    hosts: str = ""
    env: str = ""
    rest: str = ""
    seen: str = ""


def of_steps(steps: Mapping[str, Any], seen: str = "") -> Typed:
    rest = {name: steps[name] for name in REST if steps.get(name)}
    return Typed([Row(command) for command in steps.get("setup", [])] or [Row("")], "\n".join(steps.get("hosts", [])),
                 "\n".join(f"{name}={value}" for name, value in steps.get("env", {}).items()),
                 json.dumps(rest, indent=1, ensure_ascii=False) if rest else "", seen)


def of_form() -> Typed:
    """What was typed, with what its buttons change: do=add, a further row; up=<place>, one place up."""
    form: MultiDict[str, str] = request.form
    count = min(COMMANDS + 10, 1 + max([whole_number(name.removeprefix("command-")) or 0 for name in form if name.startswith("command-")], default=0))
    rows = [Row(_text(f"command-{place}"), f"step-{place}" in form) for place in range(count)]
    up = whole_number(form.get("up", ""))
    if up and up < len(rows):
        rows[up - 1], rows[up] = rows[up], rows[up - 1]
    if form.get("do") == "add":
        rows.append(Row(""))
    return Typed(rows or [Row("")], _text("hosts"), _text("env"), _text("rest"), form.get("seen", "")[:64])


def _text(name: str) -> str:
    return request.form.get(name, "").replace("\r\n", "\n").strip()


def steps_of(typed: Typed) -> Steps:
    """Raises BadRequest that names the field."""
    said: dict[str, Any] = {}
    if typed.rest:
        try:
            said = strict_json.parse(typed.rest.encode("utf-8", "surrogatepass"))
        except BadRequest as error:
            raise BadRequest(f"Other keys: this is no JSON. {error.sentence}") from None
        if not isinstance(said, dict) or set(said) - set(REST):
            raise BadRequest(f"Other keys: must be a JSON object with keys of {', '.join(REST)}.")
    env = {}
    for line in filter(None, map(str.strip, typed.env.split("\n"))):
        name, equals, value = line.partition("=")
        if not equals:
            raise BadRequest(f"Variables: write NAME=value on each line. This one has no =: {line[:100]}")
        env[name.strip()] = value
    try:
        return parse({**said, "setup": [row.command for row in typed.rows if row.on and row.command], "hosts": typed.hosts.split("\n"), "env": env})
    except BadRequest as error:
        raise BadRequest(error.sentence.replace("environment.", "", 1), **error.extra) from None
