"""The real runner over a real run folder, with a real repository, in every sandbox that runs commands."""
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import GIT_ENV, HANG, git, until, within
from runner_bench import BRANCH, INTEGRATION, Bench, bench_of, log_of
from sandbox_bench import sleeping

from engine.config import ROOT
from engine.git.repository import Repository
from engine.ground import Source
from engine.host.processes import is_held, members
from engine.jobs import Result
from engine.run.phases import COMMIT
from engine.run.runner import command


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    yield from bench_of(request.param, tmp_path)


@pytest.fixture
def unwrapped(tmp_path: Path) -> Any:
    """For what the host does with a run's results, whatever sandbox they come from."""
    bench = Bench("process", tmp_path).prepared()
    yield bench
    for runner in bench.runs:
        runner.kill()
        runner.wait()


def test_the_work_comes_back_as_a_commit_with_author_and_trailers(bench: Bench) -> None:
    result, folder = bench.run("echo 'Hello, it'\"'\"'s me' > hello.txt\necho done", checks=("grep -q Hello hello.txt",))
    assert (result.outcome, result.reason, result.base) == ("ok", None, bench.repository.head(f"refs/heads/{INTEGRATION}"))
    clone = bench.take(folder)
    assert git(clone, "rev-parse", "swarm-out").strip() == result.tip
    assert git(clone, "show", "swarm-out:hello.txt") == "Hello, it's me\n"
    assert git(clone, "log", "-1", "--format=%an <%ae>|%s", "swarm-out") == "HITL Swarm runbook <runbook@localhost>|Greet people\n"
    trailers = git(clone, "log", "-1", "--format=%(trailers)", "swarm-out").split("\n")
    assert trailers[:3] == ["Ticket: TKT-002", "Session: 5e5510aa-session", "Assisted-by: runbook"]
    assert "Signed-off-by" not in git(clone, "log", "-1", "--format=%B", "swarm-out")
    assert "\n::phase agent runbook\n$ echo 'Hello, it'\"'\"'s me' > hello.txt\ndone\n::phase commit\n" in log_of(folder)
    assert {"inputs", "work", "checks"} <= set(result.phases)


def test_who_the_run_is_stands_in_its_folder(unwrapped: Bench) -> None:
    _, folder = unwrapped.run("touch x")
    started = json.loads((folder / "started.json").read_text())
    assert started["pid"] == unwrapped.runs[0].pid and started["start"] > 0 and len(started["boot"]) == 36


def test_a_ticket_without_commands_gets_its_brief_and_says_that_no_agent_is_configured(unwrapped: Bench) -> None:
    result, folder = unwrapped.run(title="It's `greet`\nnow")
    clone = unwrapped.take(folder)
    assert result.outcome == "ok"
    assert git(clone, "show", "swarm-out:docs/tickets/TKT-002.md") == "# TKT-002: It's `greet` now\n\nGreet people.\n"
    assert "No coding agent is configured" in git(clone, "log", "-1", "--format=%B", "swarm-out")
    assert "No coding agent is configured" in log_of(folder)


def test_no_change_without_a_check_is_left_to_the_engine(unwrapped: Bench) -> None:
    result, folder = unwrapped.run("true")
    assert (result.outcome, result.tip, result.checks, (folder / "out" / "out.bundle").exists()) == ("no_change", None, [], False)


def test_no_change_is_judged_by_the_checks_on_the_integration_branch(bench: Bench) -> None:
    good, _ = bench.run("true", checks=("test -e README.md",))
    bad, _ = bench.run("true", checks=("test -e hello.txt",))
    assert (good.outcome, [check["passed"] for check in good.checks]) == ("no_change", [True])
    assert (bad.outcome, bad.failure, bad.reason) == ("failed", "agent", "The check “test -e hello.txt” failed with exit code 1.")


def test_an_agent_that_fails_is_quoted_and_its_work_is_kept(bench: Bench) -> None:
    result, folder = bench.run("echo half > hello.txt\necho 'I cannot go on' >&2\nexit 3", checks=("true",))
    assert (result.outcome, result.failure, result.reason) == ("failed", "agent", "The agent ended with exit code 3: I cannot go on")
    assert result.checks == []
    assert git(bench.take(folder), "show", f"{result.tip}:hello.txt") == "half\n"


def test_a_failed_check_names_itself_and_all_checks_are_recorded(bench: Bench) -> None:
    result, folder = bench.run("echo hi > hello.txt", checks=("echo looking; cat hello.txt", "echo no >&2; exit 9", "false"))
    assert (result.outcome, result.failure, result.reason) == ("failed", "agent", "The check “echo no >&2; exit 9” failed with exit code 9.")
    assert [(c["exit"], c["passed"], c["output"]) for c in result.checks] == [(0, True, "looking\nhi\n"), (9, False, "no\n"), (1, False, "")]
    assert json.loads((folder / "checks.json").read_text()) == result.checks
    assert result.tip and result.base and git(bench.take(folder), "rev-parse", "swarm-out").strip() == result.tip


def test_a_check_sees_a_clean_clone_and_nothing_that_was_left_lying(bench: Bench) -> None:
    script = "echo '*.built' > .gitignore\ntouch out.built \"$HOME/left\" /tmp/left.$SWARM_RUN \"$SWARM_OUT/left\"\ngit config user.planted yes"
    result, _ = bench.run(script, checks=("test -e .gitignore", "test ! -e out.built", 'test ! -e "$HOME/left" && test ! -e "$SWARM_OUT/left"',
                                          "test -z \"$(git config user.planted)\"", "git diff --quiet HEAD && test -z \"$(git status --short)\""))
    Path(f"/tmp/left.{result.run}").unlink(missing_ok=True)
    assert (result.outcome, result.reason) == ("ok", None)


def test_one_check_leaves_nothing_for_the_next(bench: Bench) -> None:
    result, _ = bench.run("touch a", checks=('touch b "$HOME/b" "$TMPDIR/b" "$SWARM_OUT/b"',
                                           'test ! -e b && test ! -e "$HOME/b" && test ! -e "$TMPDIR/b"',
                                             'test ! -e "$SWARM_OUT/b"'))
    assert (result.outcome, result.reason) == ("ok", None)


def test_a_process_left_behind_does_not_survive_and_does_not_hold_up_the_run(bench: Bench) -> None:
    began = time.monotonic()
    result, _ = bench.run("touch x\nsetsid sleep 611 &\n(setsid env -i sleep 612 &)\nnohup sleep 613 > /dev/null 2>&1 &")
    assert (result.outcome, sleeping("611", "612", "613")) == ("ok", [])
    assert time.monotonic() - began < HANG


def test_a_run_that_takes_too_long_is_stopped(bench: Bench) -> None:
    result, _ = bench.run("while :; do echo busy; sleep 0.1; done", run_seconds=1.5)
    assert (result.failure, result.reason) == ("agent", "The run took longer than 1.5 seconds, so it was stopped.")


def test_a_run_that_is_silent_too_long_is_stopped(bench: Bench) -> None:
    result, _ = bench.run("echo one\nsleep 60", stall_seconds=1)
    assert (result.failure, result.reason) == ("agent", "The run wrote nothing for 1 seconds, so it was stopped.")


def test_a_check_that_takes_too_long_did_not_pass(bench: Bench) -> None:
    result, _ = bench.run("touch x", checks=("echo begun; sleep 60", "true"), check_seconds=1)
    assert result.reason == "The check “echo begun; sleep 60” did not pass. It took longer than 1 seconds, so it was stopped."
    assert [(c["exit"], c["passed"], c["output"]) for c in result.checks] == [(None, False, "begun\n"), (0, True, "")]


def test_a_run_that_floods_its_log_is_stopped(bench: Bench) -> None:
    result, folder = bench.run("yes 'all work and no play'")
    assert (result.failure, result.reason) == ("agent", "The run wrote more than 2 MB of log, so it was stopped.")
    assert (folder / "log").stat().st_size == 2_000_000


def test_outputs_are_bounded_in_number(unwrapped: Bench) -> None:
    result, _ = unwrapped.run('i=0; while [ $i -lt 1200 ]; do : > "$SWARM_OUT/$i"; i=$((i+1)); done')
    assert (result.failure, result.reason) == ("agent", "The run put more than 1000 files or 512 MB into its outputs, so it was stopped.")


def test_a_question_ends_the_run_and_keeps_the_work(bench: Bench) -> None:
    ask = "swarm-ask 'Which \"colour\"?\nIt'\"'\"'s	for\\the Gruß 🎨' --option Red --option='Bl\\ue'"
    result, folder = bench.run(f"echo half > hello.txt\n{ask}\necho never", checks=("false",))
    assert (result.outcome, result.failure) == ("needs_input", None)
    assert result.request == {"question": "Which \"colour\"?\nIt's\tfor\\the Gruß 🎨", "options": ["Red", "Bl\\ue"]}
    assert git(bench.take(folder), "show", f"{result.tip}:hello.txt") == "half\n"
    assert "never" not in log_of(folder) and "The answer will be in the prompt" in log_of(folder)


def test_a_question_without_work_has_no_bundle(unwrapped: Bench) -> None:
    result, _ = unwrapped.run("swarm-ask 'Go on?'")
    assert (result.outcome, result.tip, result.request) == ("needs_input", None, {"question": "Go on?", "options": []})


def test_an_agent_that_asks_and_then_waits_has_asked(unwrapped: Bench) -> None:
    result, _ = unwrapped.run("swarm-ask 'Go on?' || true\nsleep 60", stall_seconds=1)
    assert (result.outcome, result.request) == ("needs_input", {"question": "Go on?", "options": []})


@pytest.mark.parametrize("script", [
    "ln -s /etc/hostname \"$SWARM_OUT/request.json\"", "mkdir \"$SWARM_OUT/request.json\"", "mkfifo \"$SWARM_OUT/request.json\"",
    "echo nonsense > \"$SWARM_OUT/request.json\"", "echo '{\"question\": 5}' > \"$SWARM_OUT/request.json\""])
def test_a_forged_question_is_refused(unwrapped: Bench, script: str) -> None:
    result, _ = unwrapped.run(script)
    assert (result.outcome, result.failure, result.reason) == ("failed", "agent", "The agent asked a question that cannot be read.")


@pytest.mark.parametrize("left", ["ln -sf /etc/passwd", "mkdir", "mkfifo"])
def test_a_forged_bundle_is_refused_and_not_opened(unwrapped: Bench, left: str) -> None:
    result, _ = unwrapped.run(f'{left} "$SWARM_OUT/out.bundle"')
    assert (result.outcome, result.failure, result.tip) == ("failed", "agent", None)


def test_a_bundle_of_nonsense_fails_the_attempt(unwrapped: Bench) -> None:
    result, _ = unwrapped.run(f'printf "# v2 git bundle\\n{"1" * 40} refs/heads/swarm-out\\n\\nPACKnonsense" > "$SWARM_OUT/out.bundle"',
                           checks=("true",))
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert "The agent's work cannot be used" in (result.reason or "")


def test_what_was_checked_is_what_is_handed_on(unwrapped: Bench) -> None:
    result, folder = unwrapped.run("echo good > x", checks=('echo bad > "$SWARM_OUT/../../out/out.bundle"',))
    assert result.outcome == "ok" and git(unwrapped.take(folder), "rev-parse", "swarm-out").strip() == result.tip


def test_hooks_filters_and_programs_planted_in_the_tree_run_nothing_on_the_host(bench: Bench) -> None:
    """In `process` they do run inside the work, which is on the host: there, only what the runner does afterwards counts."""
    marker = bench.folder / "marker"
    plant = (f"""cat > "$SWARM_WORK/planted" <<'X'
#!/bin/sh
case $0$PPID in *) [ -e "$SWARM_WORK" ] || echo ran >> {marker} ;; esac
cat
X
chmod +x "$SWARM_WORK/planted"
for hook in pre-commit post-commit post-checkout post-merge reference-transaction; do cp "$SWARM_WORK/planted" .git/hooks/$hook; done
git config core.fsmonitor "$SWARM_WORK/planted"
git config filter.evil.clean "$SWARM_WORK/planted"
git config filter.evil.smudge "$SWARM_WORK/planted"
git config core.sshCommand "$SWARM_WORK/planted"
git config diff.external "$SWARM_WORK/planted"
echo '* filter=evil' > .gitattributes
echo data > data.txt""")
    result, folder = bench.run(plant, checks=("test \"$(cat data.txt)\" = data",))
    assert (result.outcome, result.reason) == ("ok", None)
    assert not marker.exists()
    assert git(bench.take(folder), "show", "swarm-out:data.txt") == "data\n"


def test_a_blocking_hook_of_the_project_does_not_stop_the_commit(unwrapped: Bench) -> None:
    result, _ = unwrapped.run("printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; touch x")
    assert result.outcome == "ok"


def test_work_that_cannot_be_committed_says_why(unwrapped: Bench) -> None:
    result, _ = unwrapped.run("rm -rf .git; echo x > x")
    assert (result.failure, (result.reason or "")[:41]) == ("agent", "The agent's work could not be committed: ")


def test_prepare_makes_a_fresh_repository_and_may_be_repeated(unwrapped: Bench) -> None:
    unwrapped.repository = Repository(unwrapped.folder / "repos" / "fresh.git")
    first, _ = unwrapped.run(kind="prepare", source=Source(None, None, ()))
    second, _ = unwrapped.run(kind="prepare", source=Source(None, None, ()))
    head = unwrapped.repository.head(f"refs/heads/{INTEGRATION}")
    assert (first.outcome, first.reason, first.base, second.base) == ("ok", None, head, head)
    assert git(unwrapped.repository.path, "show", f"{head}:README.md") == "# Demo\n"


STORE = "{}/stores/r.git"


def origin(bench: Bench, branches: int = 1) -> Path:
    folder = bench.folder / "origin"
    git(bench.folder, "init", "-q", "-b", "trunk", "origin")
    (folder / "a").write_text("a")
    git(folder, "add", "a")
    git(folder, "commit", "-q", "-m", "first")
    for number in range(1, branches):
        git(folder, "branch", f"b{number:02}")
    bench.repository = Repository(bench.folder / "repos" / "fetched.git")
    return folder


def test_prepare_fetches_the_default_branch_or_the_named_one(unwrapped: Bench) -> None:
    folder = origin(unwrapped, 2)
    result, _ = unwrapped.run(kind="prepare", source=Source(f"file://{folder}", None, ("file",), store=STORE.format(unwrapped.folder)))
    assert (result.outcome, result.reason, result.base) == ("ok", None, git(folder, "rev-parse", "trunk").strip())
    named, _ = unwrapped.run(kind="prepare", integration="swarm/x/y", source=Source(f"file://{folder}", "b01", ("file",), store=STORE.format(unwrapped.folder)))
    assert unwrapped.repository.head("refs/heads/swarm/x/y") == named.base


def test_prepare_names_the_branches_there_are(unwrapped: Bench) -> None:
    folder = origin(unwrapped, 13)
    result, _ = unwrapped.run(kind="prepare", source=Source(f"file://{folder}", "dev", ("file",), store=STORE.format(unwrapped.folder)))
    assert (result.outcome, result.failure) == ("failed", "permanent")
    names = ", ".join(f"b{n:02}" for n in range(1, 11))
    assert result.reason == f"The branch dev is not there. It has: {names} and more. Make that branch there, or name another."


def test_integrate_checks_the_merged_whole(unwrapped: Bench) -> None:
    good, _ = unwrapped.run(kind="integrate", checks=("test -e README.md",))
    bad, _ = unwrapped.run(kind="integrate", checks=("test -e nothing",))
    none, folder = unwrapped.run(kind="integrate")
    assert (good.outcome, good.base) == ("ok", unwrapped.repository.head(f"refs/heads/{INTEGRATION}"))
    assert (bad.outcome, bad.reason) == ("failed", "The check “test -e nothing” failed with exit code 1.")
    assert (none.outcome, none.checks, (folder / "sandbox.lock").exists()) == ("ok", [], False)


def test_sigterm_ends_it_within_two_seconds(bench: Bench) -> None:
    job = bench.job("(setsid env -i sleep 621 &)\necho up\nsleep 622")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    with within(2.0):
        runner.send_signal(signal.SIGTERM)
        runner.wait(HANG)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.failure) == ("failed", "transient")
    assert sleeping("621", "622") == [] and list(members(job.run, folder)) == []
    assert not is_held(folder / "lock") and not is_held(folder / "sandbox.lock")


def test_the_sandbox_dies_with_a_runner_that_is_killed_or_can_be_swept(bench: Bench) -> None:
    from engine.host.processes import sweep
    job = bench.job("echo up\nsleep 631")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    assert is_held(folder / "sandbox.lock")
    runner.kill()
    runner.wait()
    sweep(job.run, folder)
    assert sleeping("631") == [] and not is_held(folder / "sandbox.lock") and Result.read(folder) is None


def test_a_broken_job_leaves_a_result_and_a_traceback(unwrapped: Bench) -> None:
    folder = unwrapped.folder / "runs" / "run-x"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{}")
    said = subprocess.run(command(ROOT, folder), capture_output=True, text=True, cwd="/")
    result = Result.read(folder)
    assert result is not None and (result.run, result.outcome, result.failure) == ("run-x", "failed", "transient")
    assert "Traceback" in said.stderr and "The runner failed (KeyError" in (result.reason or "")


@pytest.mark.parametrize("script, code, said, content", [
    ("true", 113, "The merge conflict in README.md was not resolved.", None),
    ("echo both > README.md", 0, "left conflicts. Resolve them now", "both\n"),
    ("git checkout -q --ours README.md && git add README.md && git commit -q -m mine", 0, "left conflicts", "own\n")])
def test_work_that_is_resumed_is_merged_with_the_head_and_a_conflict_is_left_to_the_agent(
        unwrapped: Bench, tmp_path: Path, script: str, code: int, said: str, content: str | None) -> None:
    clone, inputs = tmp_path / "clone", tmp_path / "in"
    git(tmp_path, "clone", "-q", "-b", INTEGRATION, str(unwrapped.repository.path), "clone")
    for branch, text in ((BRANCH, "own\n"), (INTEGRATION, "head\n")):
        git(clone, "checkout", "-q", "-B", branch, f"origin/{INTEGRATION}")
        (clone / "README.md").write_text(text)
        git(clone, "commit", "-q", "-am", text)
        git(clone, "push", "-q", "origin", branch)
    for name in ("in", "out", "work"):
        (tmp_path / name).mkdir()
    heads = [f"refs/heads/{INTEGRATION}", f"refs/heads/{BRANCH}"]
    values = {"integration": INTEGRATION, "branch": BRANCH, "resume": "yes", "agent": "a",
              "base": unwrapped.repository.bundle(inputs / "in.bundle", heads)[heads[0]]}
    (inputs / "job").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    (inputs / "message").write_text("Merged\n")
    (inputs / "agent.sh").write_text(script)
    (inputs / "ignored").write_text("")
    for name in ("clone.sh", "onto-base.sh", *COMMIT):
        shutil.copy(ROOT / "engine" / "run" / "scripts" / name, inputs)
    done = subprocess.run(["sh", "-c", f". {ROOT}/engine/run/scripts/work.sh"], capture_output=True, text=True,
                          env={**GIT_ENV, **{f"SWARM_{name.upper()}": str(tmp_path / name) for name in ("in", "out", "work")}})
    assert done.returncode == code and said in done.stdout + done.stderr
    if content is not None:
        git(clone, "fetch", "-q", str(tmp_path / "out" / "out.bundle"), "refs/heads/swarm-out:refs/heads/swarm-out")
        assert git(clone, "show", "swarm-out:README.md") == content
        assert git(clone, "rev-list", "--count", f"{values['base']}..swarm-out") == "2\n"
    assert (tmp_path / "out" / "out.bundle").exists() == (content is not None)


def test_the_runner_is_started_without_the_users_python_setup() -> None:
    assert command(ROOT, Path("/x"))[:4] == [sys.executable, "-I", "-S", "-B"]


def test_a_login_shell_finds_swarm_ask_too(bench: Bench) -> None:
    result, _ = bench.run("sh -lc 'swarm-ask Why?'; bash -lc 'command -v swarm-ask'")
    assert (result.outcome, result.request) == ("needs_input", {"question": "Why?", "options": []})
