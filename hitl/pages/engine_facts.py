"""The engine and this installation in the words of the pages."""
import sqlite3
from typing import Any

from flask import g

from engine.git.call import check_git, git_version
from engine.runtimes.described import described
from hitl.views.engine import engine_state
from hitl.web.context import swarm
from hitl.web.filters import duration, number, size


def raw() -> dict[str, Any]:
    """views/engine.py: engine_state, once a request."""
    if "engine" not in g:
        g.engine = engine_state(swarm())
    found: dict[str, Any] = g.engine
    return found


def engine() -> dict[str, Any]:
    """state, slots, busy, free, tick_text, runtime, agent, attempts, paused; line: all of it in one; hint: what stands in the way of a build."""
    view, config = raw(), swarm().config
    state = view["engine"] if view["engine"] != "here" else "paused" if view["paused"] else "held" if view.get("trouble") else "on"
    age, used = view["last_tick_age"], _used(view["runtimes"])
    tick = "–" if age is None else f"{age:.1f} s ago"
    runtime = used["name"] if used else "not known here"
    busy, free = view["busy"], max(0, view["slots"] - view["busy"])
    facts = [f"last tick {tick}"] if age is not None else []
    facts.append(f"{busy} of {number(view['slots'], 'slot')} busy")
    if view.get("uptime") is not None:
        facts.append(f"up {duration(view['uptime'])}")
    words = {"on": "engine on", "held": "engine held up", "paused": "engine paused", "off": "engine off", "elsewhere": "engine in another process"}
    line = [words[state], *([runtime] if used else []), f"{busy} of {view['slots']} slots busy"]
    return {"state": state, "slots": view["slots"], "busy": busy, "free": free, "tick_text": tick, "runtime": runtime,
            "agent": _agent(view["agents"]), "attempts": config.max_attempts, "paused": view["paused"],
            "line": line, "hint": _hint(state, view), "facts": facts}


def _hint(state: str, view: dict[str, Any]) -> str:
    if state == "paused":
        return "The engine is paused: what runs goes on, nothing new starts. Resume it on the engine page."
    if view.get("trouble"):
        return f"Nothing new starts: {view['trouble']}"
    if state == "elsewhere":
        return "The engine runs in process {pid}, which serves {where}. It takes these tickets, too.".format(**{"pid": "?", "where": "?", **view["elsewhere"]})
    if state == "off":
        return "The engine does not run in this process, so nothing starts. Start the server with make run."
    return ""


def _used(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((each for each in entries if each["in_use"]), None)


def _agent(agents: list[dict[str, Any]]) -> str:
    used = _used(agents)
    return used["name"] if used else "none that can run"


def runtimes() -> list[dict[str, Any]]:
    return [{**each, "glyph": "done" if each["in_use"] else "queued" if each["why_not"] else "cancelled"} for each in raw()["runtimes"]]


def image() -> dict[str, Any]:
    """The virtual machines' image: {name, facts: [(name, value)], packages: [(name, version)], why_not}."""
    found = described(swarm().config.vm)
    if found["why_not"]:
        return {"name": found["name"], "facts": [], "packages": [], "why_not": found["why_not"]}
    layered = [("Laid over it", found["layered"])] if found["layered"] else []
    each = f"{found['memory_mb']} MB of memory, {number(found['cpus'], 'processor')}, {found['disk_mb']} MB of disk"
    return {"name": found["name"], "why_not": None, "packages": sorted(found["packages"].items()), "facts": [
        ("Age", f"{duration(found['age'])}, built {found['built']}"), ("Accelerator", f"{found['accelerator']}: {found['why']}"),
        ("Test boot", f"{found['boot_seconds']:.1f} s"), ("System", f"Debian {found['suite']}, kernel {found['kernel']}, {size(found['bytes'])}"), *layered,
        ("Each VM", each), ("At once", f"{number(found['most'], 'VM')} at most, by this host's memory"),
        ("Start", "clones of a booted VM" if found["templates"] else "each boots")]}


def agents() -> list[dict[str, Any]]:
    return [{**each, "glyph": "done" if each["in_use"] else "queued" if each["why_not"] else "cancelled"} for each in raw()["agents"]]


def errors() -> list[dict[str, Any]]:
    """Newest first: [{title, at, text}]."""
    return [{"title": f"{each.get('where', 'engine')}: {str(each['error']).partition(':')[0]}", "at": each["at"], "text": each["error"]}
            for each in reversed(raw()["errors"])]


def installation() -> list[dict[str, str]]:
    """What this installation can do, for a first visit: [{state, title, text}]."""
    view = raw()
    used, why_git = _used(view["runtimes"]), check_git()
    found = []
    if used is None:
        found.append({"state": "unchecked", "title": "Sandbox: not known yet", "text": "It is chosen when the engine starts in this process."})
    else:
        missed = [each["why_not"] for each in view["runtimes"] if each["why_not"]]
        isolated = used["isolates"]
        found.append({"state": "passed" if isolated else "question", "title": f"Sandbox: {used['name']}",
                      "text": " ".join([used["isolation"], *missed])})
    version = ".".join(map(str, git_version()[:2])) if why_git is None else "?"
    found.append({"state": "failed" if why_git else "passed", "title": f"git {version}, SQLite {sqlite3.sqlite_version}",
                  "text": why_git or "Both new enough."})
    agent = _used(view["agents"])
    if agent is None or agent["fallback"]:
        found.append({"state": "question", "title": "No coding agent configured",
                      "text": "The sample works without one. A ticket with fenced sh blocks runs them; any other gets its brief written down."})
    else:
        found.append({"state": "passed", "title": f"Agent: {agent['name']}", "text": agent["description"]})
    return found
