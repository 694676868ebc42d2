"""The engine's page: its runs, runtimes, agents, errors and settings. Other pages show the engine in one line."""
from typing import Any

from flask import Blueprint, Response, g

from engine.runtimes.described import described
from engine.tickets import claims
from hitl.pages.frame import journal_end, render
from hitl.views.engine import engine_state, settings_view
from hitl.web.context import swarm, tenant
from hitl.web.filters import duration, number, size
from hitl.web.forms import go

routes = Blueprint("engine", __name__)


@routes.get("/engine")
def engine() -> str:
    journal_end()
    return render("engine/engine.html", "engine", engine=summary(), running=state()["runs"], runtimes=_with_glyphs(state()["runtimes"]),
                  agents=_with_glyphs(state()["agents"]), image=_image(), errors=_errors(), storage=state()["storage"],
                  environments=state()["environments"], keep_environments=swarm().config.keep_environment_mb * 1_000_000,
                  settings=settings_view(swarm().config), error=None)


@routes.post("/engine/<any(pause, resume):what>")
def pause(what: str) -> Response:
    claims.set_paused(swarm().db, what == "pause", "Paused by hand.")
    return go("/engine")


def state() -> dict[str, Any]:
    """engine_state of views/engine.py, read once for each request."""
    if "engine" not in g:
        g.engine = engine_state(swarm(), tenant())
    known: dict[str, Any] = g.engine
    return known


def summary() -> dict[str, Any]:
    """{state, slots, busy, free, tick_text, runtime, agent, attempts, paused, facts, line: the engine in a few words, hint: why no build can run or
    '', waiting: a sentence or None}."""
    view = state()
    word = view["engine"] if view["engine"] != "here" else "paused" if view["paused"] else "held" if view.get("trouble") else "on"
    age, runtime, agent = view["last_tick_age"], in_use(view["runtimes"]), in_use(view["agents"])
    tick = "–" if age is None else f"{age:.1f} s ago"
    busy, notice = view["busy"], [view["notice"]] if view["notice"] else []
    facts = [f"last tick {tick}"] if age is not None else []
    facts += [f"{busy} of {number(view['slots'], 'slot')} busy", *notice]
    if view.get("uptime") is not None:
        facts.append(f"up {duration(view['uptime'])}")
    words = {"on": "engine on", "held": "engine blocked", "paused": "engine paused", "off": "engine off", "elsewhere": "engine in another process"}
    return {"state": word, "slots": view["slots"], "busy": busy, "free": max(0, view["slots"] - busy), "tick_text": tick,
            "runtime": runtime["name"] if runtime else "unknown here", "agent": agent["name"] if agent else "none that can run",
            "attempts": swarm().config.max_attempts, "paused": view["paused"], "hint": _hint(word, view), "waiting": view["waiting"], "facts": facts,
            "line": [words[word], *([runtime["name"]] if runtime else []), f"{busy} of {view['slots']} slots busy", *notice,
                     *(["see the storage notice on the engine page"] if view["storage"] else [])]}


def in_use(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The runtime or agent that new runs use, or None."""
    return next((entry for entry in entries if entry["in_use"]), None)


def _hint(word: str, view: dict[str, Any]) -> str:
    if word == "paused":
        return "The engine is paused. Current runs continue, but nothing new starts. Resume it on the engine page."
    if view.get("trouble"):
        return f"Nothing new starts: {view['trouble']}"
    if word == "elsewhere":
        return "The engine runs in process {pid}, which serves {where}. It runs these tickets, too.".format(**{"pid": "?", "where": "?", **view["elsewhere"]})
    if word == "off":
        return "The engine does not run in this process, so nothing starts. Start the server with make run."
    return ""


def _with_glyphs(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "glyph": "done" if entry["in_use"] else "queued" if entry["why_not"] else "cancelled"} for entry in entries]


def _image() -> dict[str, Any]:
    """The virtual machines' image: {name, facts: [(name, value)], packages: [(name, version)], why_not}."""
    image = described(swarm().config.vm)
    if image["why_not"]:
        return {"name": image["name"], "facts": [], "packages": [], "why_not": image["why_not"]}
    layered = [("Added on top", image["layered"])] if image["layered"] else []
    vm = f"{image['memory_mb']} MB of memory, {number(image['cpus'], 'processor')}, {image['disk_mb']} MB of disk"
    return {"name": image["name"], "why_not": None, "packages": sorted(image["packages"].items()), "facts": [
        ("Age", f"{duration(image['age'])}, built {image['built']}"), ("Accelerator", f"{image['accelerator']}: {image['why']}"),
        ("Test boot", f"{image['boot_seconds']:.1f} s"), ("System", f"Debian {image['suite']}, kernel {image['kernel']}, {size(image['bytes'])}"), *layered,
        ("Each VM", vm), ("At once", f"{number(image['most'], 'VM')} at most, limited by this host's memory"),
        ("Start", "clones of a booted VM" if image["templates"] else "each VM boots")]}


def _errors() -> list[dict[str, Any]]:
    """The last errors, newest first: [{title, at, text}]."""
    return [{"title": f"{error.get('where', 'engine')}: {str(error['error']).partition(':')[0]}", "at": error["at"], "text": error["error"]}
            for error in reversed(state()["errors"])]
