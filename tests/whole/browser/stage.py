"""Every page in a state worth looking at: for the accessibility test and for the pictures in docs/screens."""
from conftest import until
from running import Server

SHOP = {
    "name": "Login hardening", "description": "People guess passwords at our shop's login. Slow them down without locking out real customers.",
    "features": [
        {"title": "Count failed logins", "description": "Per account and per address.\n\n```sh\nmkdir -p shop\nprintf 'LIMIT = 5\\n' > shop/limits.py\n```",
         "acceptance_criteria": [{"text": "The limit is five", "check": "grep -q 'LIMIT = 5' shop/limits.py"}, "The text is friendly"]},
        {"title": "Choose how long a lock lasts", "depends_on": ["Count failed logins"],
         "description": "```sh\n[ -e chosen ] || { touch chosen; swarm-ask 'Lock for 15 minutes after 5 failures, or back off?' --option '15 minutes' "
                        "--option 'Exponential back-off'; }\n```"},
        {"title": "Answer 429 with Retry-After, also for clients that send a very long and quite unbreakable_header_name_" + "x" * 60,
         "depends_on": ["Count failed logins"], "description": "```sh\necho nothing here passes\n```",
         "acceptance_criteria": [{"text": "The fifth attempt answers 429", "check": "test -e never"}]},
        {"title": "Tell the customer", "depends_on": ["Choose how long a lock lasts"]}],
    "technical_requirements": ["Python 3, standard library only"], "checks": ["test -d shop"]}


def places(server: Server) -> dict[str, str]:
    """{name: path} on a server on which all this has happened."""
    made = server.call("/api/hitl", {"project_name": "Word counter"})[1]
    server.call(f"/api/hitl/{made['id']}/messages", {"text": "A tool that counts words.\n\n1. Count words\n2. Show the most frequent words"})
    found = {"session-interview": f"/sessions/{made['id']}"}
    card = server.call("/api/hitl", {"project_name": "Card", "spec_card": SHOP})[1]
    found |= {"session-card": f"/sessions/{card['id']}", "session-json": f"/sessions/{card['id']}/json", "session-versions": f"/sessions/{card['id']}/versions"}
    approved = server.call("/api/hitl", {"project_name": "Approved", "spec_card": SHOP})[1]
    server.call(f"/api/hitl/{approved['id']}/approve", {"spec_sha256": approved["spec_sha256"]})
    found["session-approved"] = f"/sessions/{approved['id']}"
    build = server.session(SHOP)
    until(lambda: len(server.sqlite("select 1 from requests where state = 'open'")) == 2, what="a question and a failure wait")
    found |= {"session-board": f"/sessions/{build}", "session-graph": f"/sessions/{build}/graph", "session-evidence": f"/sessions/{build}/evidence",
              "session-spec": f"/sessions/{build}/spec", "session-notes": f"/sessions/{build}/notes", "session-amend": f"/sessions/{build}/amend"}
    tickets = {row[1]: row[0] for row in server.sqlite(f"select id, position from tickets where session_id = '{build}'")}
    found |= {"ticket": f"/tickets/{tickets['2']}", "ticket-failed": f"/tickets/{tickets['3']}", "ticket-done": f"/tickets/{tickets['1']}",
              "ticket-history": f"/tickets/{tickets['3']}/history", "changes": f"/tickets/{tickets['1']}/changes"}
    found |= repositories(server)
    large = server.call("/api/hitl", {"project_name": "Two hundred", "spec_card": {
        "name": "Two hundred", "features": [{"title": f"Feature {n}"} for n in range(1, 201)]}})[1]
    return found | {"home": "/", "session-200": f"/sessions/{large['id']}", "inbox": "/inbox", "engine": "/engine", "keys": "/help/keys",
                    "error": "/sessions/unknown"}


def repositories(server: Server) -> dict[str, str]:
    """Two repositories of nobody's: one whose steps wait for approval, and one whose setup failed."""
    steps = '{"hosts":["npm"],"setup":["npm ci","npx prisma generate"]}'
    seen = '[{"file":"package-lock.json","used":true,"why":"npm installs exactly its versions."},{"file":"Dockerfile","used":false,"why":"Not built here."}]'
    for place, state in (("proposed", "proposed"), ("failed", "approved")):
        sha = place[0].replace("p", "a") * 64
        server.sqlite(f"insert into repositories (id, source, url, name, default_branch, state, looked_at) values ('{place}', 'https://h/{place}', "
                      f"'https://h/{place}', 'tidebook/{place}', 'main', 'reachable', '2026-01-01T00:00:00.000Z')")
        server.sqlite(f"insert into environment_versions (repository_id, steps, sha256, source, found, state, approved_at) values ('{place}', '{steps}', "
                      f"'{sha}', 'detected', '{seen}', '{state}', '2026-01-01T00:00:00.000Z')")
    reason = "'Step 1 of the setup (npm ci) failed with exit code 1.' || char(10) || 'npm error 403 Forbidden'"
    server.sqlite("insert into runs (id, kind, state, claim_token, claimed_by, run_no, owner_kind, owner, task, outcome, reason, ended_at) values"
                  f" ('setup-1', 'setup', 'ended', 't', 'e', 1, 'repository', 'failed', '{{\"sha256\":\"{'f' * 64}\"}}', 'failed', {reason},"
                  " '2026-01-01T00:00:00.000Z')")
    server.sqlite("insert into baselines (repository_id, base_sha, environment_key, command, result, output) values"
                  " ('failed', 'c', '', 'npm test', 'green', ''), ('failed', 'c', '', 'npx playwright test', 'cannot_run', 'Executable does not exist'),"
                  " ('failed', 'c', '', 'npx vitest', 'red', ''), ('failed', 'c', '', 'npm run mail', 'flaky', '')")
    return {"repositories": "/repositories", "repository-new": "/repositories/new", "repository-proposed": "/repositories/proposed",
            "repository-failed": "/repositories/failed", "repository-edit": "/repositories/failed?edit=1"}
