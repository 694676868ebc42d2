"""A company's own registries, in whole runs: its certificates, its private address, its odd port, its login; and what is said where a way is closed."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, build, require, until
from environment_side import make_remote
from real_engine import completed, feature, running
from registries import ADDRESS, Registry, listening, own_name, registry, silent
from runner_bench import INTEGRATION, Bench, bench_of, log_of

from engine.access import Access, Routes
from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps, digest
from engine.gateway.mirrors import parse_mirrors
from engine.ground import Setup
from engine.job.access import routes
from engine.job.network import network
from engine.jobs import Result
from engine.repositories import sources, versions
from engine.runtimes import make
from engine.store.db import Database

LOGIN = "build:s3cret%2Fmirror"
PIP = "/usr/bin/python3 -m pip install --disable-pip-version-check --no-cache-dir --retries 0 --timeout 20 --target lib greet"
NPM = "npm install --no-audit --no-fund --no-update-notifier --fetch-retries=0 greet"


@pytest.fixture(autouse=True)
def programs() -> None:
    require("openssl")
    require("curl")


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


def settings(here: Registry, **values: object) -> Config:
    """As an operator would set it: the registry for pypi and npm, with the login if it wants one."""
    at = here.url.replace("https://", f"https://{LOGIN}@") if here.login else here.url
    return Config(mirrors=parse_mirrors(f"pypi={at}/simple npm={at}/npm"), egress_ca=here.authorities, **values)  # type: ignore[arg-type]


def set_up(bench: Bench, config: Config, *commands: str, hosts: tuple[str, ...] = ("pypi", "npm"), seconds: float = 100.0) -> tuple[Result, Path]:
    """A setup, started as the engine starts it."""
    setup = Setup({"setup": list(commands), "hosts": list(hosts)}, str(bench.repository.head(f"refs/heads/{INTEGRATION}")), seconds=seconds)
    job = bench.job(kind="setup", setup=setup, access=Access({}, hosts, 100, routes=routes(config, hosts)), run_seconds=200)
    return bench.run_with_keys(job, config, wait=4 * HANG)


def everywhere(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_pip_and_npm_install_from_a_registry_with_a_login_a_private_address_and_an_authority_of_its_own(bench: Bench, tmp_path: Path) -> None:
    require("npm")
    require("pip3")
    with registry(tmp_path, own_name(), login="build:s3cret/mirror") as here:
        result, folder = set_up(bench, settings(here), PIP, NPM, "env | sort", "curl -sSf \"$PIP_INDEX_URL/greet/\" > page")
        assert result.outcome == "ok", (result.reason, log_of(folder))
    made = layers.root(bench.folder) / result.ground["key"] / "repo"
    assert "hello from the mirror" in (made / "lib" / "greet.py").read_text()
    assert "greet-1.0" in (made / "page").read_text()
    assert "hello from the mirror" in (made / "node_modules" / "greet" / "index.js").read_text()
    assert {path for path in here.asked if "files" in path or "tgz" in path} == {"/files/greet-1.0-py3-none-any.whl", "/npm/greet/-/greet-1.0.0.tgz"}
    kept = everywhere(bench.folder / "runs") + everywhere(layers.root(bench.folder))
    for text in (b"s3cret/mirror", b"s3cret%2Fmirror", b"YnVpbGQ6czNjcmV0L21pcnJvcg=="):
        assert text not in kept
    log = log_of(folder)
    for name in ("UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY", "YARN_NPM_REGISTRY_SERVER", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
                 "PIP_CERT", "CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "UV_NATIVE_TLS"):
        assert f"\n{name}=" in log


def test_agent_and_checks_that_reach_hosts_use_the_registry_too_and_never_get_its_login(bench: Bench, tmp_path: Path) -> None:
    with registry(tmp_path) as here:
        ways = routes(settings(here), ("pypi",))
        look = f"test -z \"$SWARM_LOGIN_PYPI\" && test \"$PIP_INDEX_URL\" = {here.url}/simple && curl -sSf $PIP_INDEX_URL/greet/ | grep -q greet-1.0"
        result, folder = bench.run(f"{look} && git config --get http.x >/dev/null || {look} && touch done", checks=(look, "test -e done"),
                                   access=Access({}, ("pypi",), 10, routes=ways))
        assert result.outcome == "ok", (result.reason, log_of(folder))


def test_cargo_finds_its_registry_above_the_work_tree_and_go_and_bundler_by_their_variables(bench: Bench) -> None:
    ways = Routes({name: f"https://nexus.example/{name}" for name in ("crates", "go", "rubygems")})
    prompt = network(make("bubblewrap"), Access({}, ("go", "npm"), routes=ways))
    assert "to these hosts alone: https://nexus.example/go (registry go); registry.npmjs.org (registry npm)." in prompt
    script = "cat \"$SWARM_WORK/.cargo/config.toml\"; echo \"$GOPROXY $BUNDLE_MIRROR__RUBYGEMS__ORG\"; touch done"
    result, folder = bench.run(script, access=Access({}, ("crates", "go", "rubygems"), 10, routes=ways))
    assert result.outcome == "ok"
    log = log_of(folder)
    assert 'index = "sparse+https://nexus.example/crates/"' in log and "https://nexus.example/go https://nexus.example/rubygems" in log


@pytest.mark.parametrize(("status", "step", "words"), [
    (403, PIP, "greet"), (500, PIP, "greet"), (403, NPM, "403"), (500, "curl -sSf \"$NPM_CONFIG_REGISTRY/greet\"", "500")])
def test_a_registry_that_answers_with_an_error_ends_the_setup_and_is_named(bench: Bench, tmp_path: Path, status: int, step: str, words: str) -> None:
    require("npm")
    require("pip3")
    with registry(tmp_path, own_name(), broken=status) as here:
        result, folder = set_up(bench, settings(here), step)
    assert result.outcome == "failed" and "Step 1 of the setup" in str(result.reason) and words in log_of(folder)
    assert f"The setup used pypi={here.url}/simple, npm={here.url}/npm (SWARM_MIRRORS)." in str(result.reason)


def test_a_registry_that_answers_nothing_is_named_by_the_setting(bench: Bench) -> None:
    with listening(silent) as (host, port):
        config = Config(mirrors=parse_mirrors(f"pypi=https://{host}:{port}/simple"))
        result, folder = set_up(bench, config, PIP.replace("--timeout 20", "--timeout 1"), hosts=("pypi",))
    sentence = f"{host}:{port} was reached, but it answered nothing. SWARM_MIRRORS names it for pypi."
    assert (result.outcome, result.failure) == ("failed", "permanent") and sentence in str(result.reason) and f"gateway: {sentence}" in log_of(folder)


def test_what_the_proxy_refuses_is_in_the_steps_output_and_in_the_reason_with_the_setting(bench: Bench, tmp_path: Path) -> None:
    with registry(tmp_path) as here:
        result, folder = set_up(bench, settings(here), "curl -sS https://nexus.corp.example/x", hosts=("pypi",))
        sentence = "nexus.corp.example is not on the list of this setup. Add it to the hosts on the repository's page"
        assert (result.outcome, result.failure) == ("failed", "permanent")
        assert sentence in str(result.reason) and f"gateway: {sentence}" in log_of(folder)
        result, _ = set_up(bench, settings(here), "curl -sS https://pypi.org/simple/", hosts=("pypi",))
        assert f"SWARM_MIRRORS has pypi={here.url}/simple in its place" in str(result.reason)
        result, _ = set_up(bench, settings(here), "curl -sS https://nothing.invalid/", hosts=("nothing.invalid",))
        assert "The name nothing.invalid could not be resolved." in str(result.reason)
        result, _ = set_up(bench, settings(here), "exit 3", hosts=("pypi",))
        assert result.failure == "agent"


def test_pip_itself_shows_the_refusal(bench: Bench) -> None:
    require("pip3")
    result, folder = set_up(bench, Config(), PIP.replace("--retries 0", "--retries 1") + " -i https://nexus.corp.example/simple", hosts=("npm",))
    assert result.failure == "permanent" and "403 nexus.corp.example is not on the list" in log_of(folder)


def test_a_check_whose_host_is_refused_asks_a_person_keeps_the_work_and_uses_up_no_attempt(db: Database, config: Config) -> None:
    require("bwrap")
    real = Config(data=config.data, runtime="bubblewrap", agent="runbook", slots=1, backoff_seconds=0.0, egress_hosts=("npm",), synchronous="NORMAL")
    check = "test -e done && curl -sSf https://nexus.corp.example/x"
    session = build(db, real, {"name": "Fetch", "features": [feature("F", "touch done", acceptance_criteria=[{"text": "fetched", "check": check}])]})
    with running(db, real):
        asked = until(lambda: db.one("select * from requests where state = 'open'"), HANG, "it asks")
        ticket = db.one("select * from tickets where session_id = ? and type = 'feature'", (session,))
    assert "Runs may not reach nexus.corp.example. The operator can add it to SWARM_EGRESS_HOSTS." in asked["body"]
    assert (ticket["status"], ticket["failures"], bool(ticket["branch_name"])) == ("needs_input", 0, True) and "nexus.corp.example" in ticket["reason"]
    output = db.value("select checks from runs where kind = 'feature'")
    assert "SWARM_EGRESS_HOSTS" in output


def test_a_check_that_fails_for_another_reason_stays_the_agents_failure_and_names_what_was_refused(bench: Bench) -> None:
    check = "curl -s https://telemetry.corp.example/ > /dev/null; echo 1 != 2; exit 1"
    result, _ = bench.run("touch done", checks=(check,), access=Access({}, ("npm",), 10))
    assert (result.outcome, result.failure) == ("failed", "agent") and "telemetry.corp.example" in str(result.reason)
    assert "telemetry.corp.example" in result.checks[0]["output"] and "refused" not in result.checks[0]


def test_certificates_that_cannot_be_used_are_named(bench: Bench, tmp_path: Path) -> None:
    for name, content, words in (("gone.pem", None, "cannot be read"), ("bad.pem", "no certificate", "holds no certificate in PEM form")):
        if content:
            (tmp_path / name).write_text(content)
        result, _ = bench.run("touch done", access=Access({}, ("npm",), 10, routes=Routes(authorities=str(tmp_path / name))))
        assert result.failure == "permanent" and words in str(result.reason) and "SWARM_EGRESS_CA" in str(result.reason)


def test_a_build_installs_from_the_company_and_no_page_or_file_shows_the_login(db: Database, tmp_path: Path) -> None:
    require("bwrap")
    require("pip3")
    bare = make_remote(tmp_path, **{"requirements.txt": "greet\n", ".gitignore": "lib\n"})
    with registry(tmp_path, login="build:s3cret/mirror") as here:
        config = settings(here, data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=1, backoff_seconds=0.0, repository_roots=(tmp_path,))
        repository = sources.row_for(db, config, "default", str(bare))
        steps = Steps(setup=(PIP,), hosts=("pypi",), env={"PYTHONPATH": "$SWARM_WORK/repo/lib"})
        versions.propose(db, repository, steps, "page")
        versions.approve(db, repository["id"], digest(steps), "you")
        check = "/usr/bin/python3 -c 'import greet'"
        session = build(db, config, {"name": "Greet", "repository": str(bare), "features": [
            feature("F", "touch done", acceptance_criteria=[{"text": "greets", "check": check}])]})
        with running(db, config):
            completed(db, session)
    assert db.value("select count(*) from requests") == 0 and "/files/greet-1.0-py3-none-any.whl" in here.asked
    shown = str(config.described({})) + repr(config)
    for text in ("s3cret/mirror", "s3cret%2Fmirror"):
        assert text not in shown and text.encode() not in everywhere(tmp_path / "data")
    assert ADDRESS in next((tmp_path / "data" / "runs").glob("*/job.json")).read_text() or ADDRESS in "".join(
        path.read_text() for path in (tmp_path / "data" / "runs").glob("*/job.json"))
