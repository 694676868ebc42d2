"""A session whose agent asks a model, and the provider of that model: it limits, is overloaded, refuses an option, has no quota left."""
import collections
import itertools
import re
import sqlite3
import threading
import time
from typing import Any

from model_upstream import Handler, Upstream, chat, served

from tests.whole.chaos.card import START
from tests.whole.chaos.world import World

TROUBLES = 2       # requests of a feature that the provider does not serve, before it does
RETRY_AFTER = 3.0  # seconds
SCENES = {"limited": f"limits requests for {RETRY_AFTER:g} seconds (status 429)", "overloaded": "limits requests (status 503)", "options refused": "",
          "no quota": "no quota or credit left for this account (status 429)"}  # what a run says that came to nothing
COMMAND = """sed -n '/^```python$/,/^```$/{/^```/d;p}' "$SWARM_PROMPT" > "$SWARM_WORK/agent.py"; exec python3 "$SWARM_WORK/agent.py\""""
DESCRIPTION = """scene: {words}
```python
import os, pathlib, urllib.error, urllib.request, json
run = os.environ["SWARM_RUN"]
print("{start} {words}", run, flush=True)
body = {{"model": "m", "stream": True, "messages": [{{"role": "user", "content": "{words}"}}], "max_tokens": 10}}
request = urllib.request.Request(os.environ["SWARM_OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
                                 {{"Authorization": "Bearer " + os.environ["SWARM_GATEWAY_TOKEN"]}})
reply = urllib.request.urlopen(request, timeout=30).read().decode()
print(reply)
assert "[DONE]" in reply and "Hello" in reply
pathlib.Path("done").mkdir(exist_ok=True)
pathlib.Path("done/{title}").write_text(run + "\\n")
```"""


class Provider:
    """asked: when each feature's requests came, by its words. paid: sessions whose account someone has paid for."""

    def __init__(self) -> None:
        self.asked: collections.defaultdict[str, list[float]] = collections.defaultdict(list)
        self.paid: set[str] = set()
        self._lock = threading.Lock()
        self._server = served(self._reply)

    def __enter__(self) -> dict[str, str]:
        """The settings of a server that uses it."""
        upstream: Upstream = self._server.__enter__()
        return {"SWARM_OPENAI_URL": upstream.url + "/v1", "SWARM_OPENAI_KEY": "sk-chaos", "SWARM_AGENT_COMMAND": COMMAND, "SWARM_AGENT": "runbook"}

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    def make_card(self, name: str) -> dict[str, Any]:
        """A spec card with a feature for each scene."""
        features = []
        for number, scene in enumerate(SCENES, 1):
            title = f"M{number}"
            features.append({"title": title, "agent": "custom", "description": DESCRIPTION.format(words=f"{scene}, {name} {title}", start=START, title=title),
                             "acceptance_criteria": [{"text": "its trace is there", "check": f"test -s done/{title}"}]})
        return {"name": name, "checks": ["test -n \"$(ls done)\""], "features": features}

    def _reply(self, handler: Handler, body: Any) -> None:
        words = body["messages"][0]["content"]
        scene, _, rest = words.partition(", ")
        with self._lock:
            self.asked[words].append(time.monotonic())
            served_now = len(self.asked[words]) > TROUBLES
        if scene == "no quota" and rest.rpartition(" ")[0] not in self.paid:
            handler.answer({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}, 429)
        elif scene == "limited" and not served_now:
            handler.answer({"error": {"code": "rate_limit_exceeded", "message": "Slow down."}}, 429, Retry_After=f"{RETRY_AFTER:g}")
        elif scene == "overloaded" and not served_now:
            handler.stream([{"choices": [{"delta": {"content": "Hel"}}]}, {"error": {"code": "server_is_overloaded", "message": "Busy."}}])
        elif scene == "options refused" and "stream_options" in body:
            handler.answer({"error": {"code": "unknown_parameter", "param": "stream_options", "message": "Unknown parameter: 'stream_options'."}}, 400)
        else:
            chat(handler, body)


def scene_of(description: str) -> str | None:
    found = re.search("^scene: (.*),", description, re.M)
    return found[1] if found else None


def help_out(world: World) -> None:
    """Someone pays, and answers each open request about the provider."""
    if world.server is None or world.server.url is None or not (world.data / "swarm.db").exists():
        return
    for row in world.rows("select r.ticket_id, s.project_name from requests r join hitl_sessions s on s.id = r.session_id"
                          " where r.state = 'open' and r.kind = 'budget'"):
        world.provider.paid.add(row["project_name"])
        answer = world.server.call(f"/api/tickets/{row['ticket_id']}/answer", {"answer": "Try again"})
        if answer is not None and answer[0] not in (200, 409):
            world.problems.append(f"to answer the request of {row['ticket_id']} was answered with {answer}")
        elif answer is not None and answer[0] == 200:
            world.counts["provider requests answered"] += 1


def is_wait(world: World, run: sqlite3.Row) -> bool:
    """Did this run come to nothing for the reason that its scene gives?"""
    scene = scene_of(world.value("select description from tickets where id = ?", run["ticket_id"]) or "")
    return bool(scene and SCENES[scene] and SCENES[scene] in (run["reason"] or ""))


def faults(world: World) -> list[str]:
    """A sentence for each feature that lost an attempt to its provider, did not wait, or of whose quota nobody was asked."""
    found = []
    for row in world.rows("select t.*, s.project_name from tickets t join hitl_sessions s on s.id = t.session_id where t.type = 'feature' order by t.seq"):
        scene = scene_of(row["description"])
        if scene is None or row["status"] == "cancelled":
            continue
        runs = world.rows("select * from runs where ticket_id = ? and kind = 'feature'", row["id"])
        waits = [run for run in runs if run["outcome"] == "transient" and is_wait(world, run)]
        world.counts["waits for the provider"] += len(waits)
        if row["failures"]:
            found.append(f"{row['id']} ({scene}) has {row['failures']} failed attempts")
        times = world.provider.asked[row["description"].partition("\n")[0].removeprefix("scene: ")]
        undisturbed = not world.killable & {run["id"] for run in runs} and all(run["outcome"] in ("merged", "void") or run in waits for run in runs)
        if undisturbed and scene in ("limited", "overloaded") and len(waits) != TROUBLES:
            found.append(f"{row['id']} ({scene}) waited {len(waits)} times")
        if undisturbed and scene == "limited" and any(later - earlier < RETRY_AFTER for earlier, later in itertools.pairwise(times)):
            found.append(f"{row['id']} did not wait as long as the provider said: {times}")
        if scene == "no quota" and not world.value("select count(*) from requests where session_id = ? and kind = 'budget' and body like ?",
                                                   row["session_id"], f"%{SCENES[scene]}%"):
            found.append(f"{row['id']} has no quota, and nobody was asked")
    return found + [f"{row['ticket_id']} asked, though its provider only makes it wait: {row['body']}" for row in world.rows(
        "select * from requests where kind = 'budget' and body not like ?", f"%{SCENES['no quota']}%")]
