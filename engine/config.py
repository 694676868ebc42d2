"""Each setting, its default and its meaning on one line. Read once, from the environment, by Config.from_env()."""
import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine import crash
from engine import setting_values as values
from engine.errors import Refused
from engine.jobs import VmSpec

ROOT = Path(__file__).resolve().parent.parent


def _setting(default: Any, parse: Callable[[str], Any], meaning: str, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": parse, "meaning": meaning, "secret": secret})


@dataclass(frozen=True)
class Config:
    """Settings of one installation. Paths are absolute, times are seconds, sizes are MB (10^6 bytes)."""

    host: str = _setting("127.0.0.1", values.loopback, "Address to listen on; loopback only")
    port: int = _setting(8080, values.whole(0, 65535), "Port to listen on; 0 takes a free one")
    allowed_hosts: tuple[str, ...] = _setting((), values.names, "Further Host names to answer to, separated by commas")
    data: Path = _setting(ROOT / "data", values.folder, "Folder that holds swarm.db, repos/, runs/ and images/")
    runtime: str = _setting("auto", values.registered("engine.runtimes.RUNTIMES"),
                            "Which sandbox runs a ticket; auto takes the best that works")
    agent: str = _setting("auto", values.registered("engine.agents.AGENTS"), "Which agent works where the card names none; auto takes the first that can run")
    agents: Path | None = _setting(None, values.optional_folder, "Folder that make agents installs into; empty: agents/ in SWARM_DATA")
    agent_command: str = _setting("", values.words, "Shell command of the agent custom; $SWARM_PROMPT is the file with its prompt")
    slots: int = _setting(os.cpu_count() or 2, values.whole(1, 512), "Runs at the same time; default: number of cores")
    poll_seconds: float = _setting(2.0, values.seconds(0.05, 60), "Longest pause between two ticks")
    max_attempts: int = _setting(3, values.whole(1, 100), "Failed runs before a ticket asks a person")
    run_seconds: float = _setting(3600.0, values.seconds(1, 604800), "Longest run")
    stall_seconds: float = _setting(600.0, values.seconds(1, 604800), "Longest silence of a run")
    check_seconds: float = _setting(600.0, values.seconds(1, 604800), "Longest single check")
    log_mb: int = _setting(20, values.whole(1, 10000), "Largest log of a run; a run that writes more is stopped")
    work_mb: int = _setting(2048, values.whole(16, 1000000), "Largest work tree of a run")
    memory_mb: int = _setting(4096, values.whole(64, 1000000), "Largest memory of all processes of a run together; a run that uses more is stopped")
    processes: int = _setting(512, values.whole(16, 100000), "Most processes and threads of a run; a run that has more is stopped")
    vm_image: str = _setting("default", values.name, "Which image in images/ virtual machines start from")
    vm_memory_mb: int = _setting(1024, values.whole(256, 1000000), "Memory of a virtual machine; so many run at once as the host's memory holds")
    vm_cpus: int = _setting(1, values.whole(1, 64), "Processors of a virtual machine")
    vm_disk_mb: int = _setting(4096, values.whole(64, 1000000), "Disk of a virtual machine; its memory and this together hold its files")
    vm_templates: str = _setting("on", values.one_of("on", "off"), "on: virtual machines are clones of one that is booted already; off: each boots")
    vm_boot_seconds: float = _setting(60.0, values.seconds(1, 3600), "Longest start of a virtual machine, longer on a busy host; then it is tried again")
    vm_packages: tuple[str, ...] = _setting((), values.packages, "Further Debian packages for make vm-image, separated by spaces")
    vm_files: Path | None = _setting(None, values.optional_folder, "Folder whose files make vm-image lays over the image; empty: none")
    vm_suite: str = _setting("bookworm", values.name, "Debian release that make vm-image takes")
    vm_mirror: str = _setting("", values.mirror, "Debian mirror that make vm-image fetches from; empty: the usual ones")
    vm_accelerator: str = _setting("auto", values.one_of("auto", "kvm", "tcg"), "What make vm-image tries; auto takes kvm only where the image boots with it")
    keep_days: int = _setting(30, values.whole(1, 36500), "How long folders of ended runs are kept (logs, prompts); rows stay")
    keep_mb: int = _setting(10000, values.whole(1, 100000000), "Largest size of all folders of ended runs; the oldest go first")
    answer_seconds: float = _setting(0.0, values.seconds(0, 31536000), "How long a question of a run waits; then its first option is assumed. 0: for ever")
    backoff_seconds: float = _setting(10.0, values.seconds(0, 3600), "First pause after a failed attempt; doubles each time, up to 5 minutes")
    synchronous: str = _setting("FULL", values.one_of("FULL", "NORMAL"), "SQLite durability: FULL survives a power cut, NORMAL may lose the last commits")
    repository_url: str = _setting("https://github.com/{repository}.git", values.url_pattern, "What owner/repo expands to")
    repository_roots: tuple[Path, ...] = _setting((), values.folders, "Folders under which local repositories may be used, separated by ':'; empty: none")
    repository_protocols: tuple[str, ...] = _setting(("https", "ssh"), values.names, "git protocols that a repository URL may use")
    model_url: str = _setting("", values.web_address, "OpenAI-compatible endpoint that drafts cards, such as http://127.0.0.1:11434/v1; empty: none")
    model_key: str = _setting("", values.words, "Key for SWARM_MODEL_URL; never shown", secret=True)
    model: str = _setting("", values.words, "Name of the model that drafts cards")
    model_seconds: float = _setting(60.0, values.seconds(0.1, 3600), "Longest that drafting by a model takes; then the template drafts")
    openai_url: str = _setting("", values.web_address, "Where agents find OpenAI's API, /v1 included; empty: OpenAI itself, if there is a key")
    openai_key: str = _setting("", values.words, "Key for it; no sandbox ever sees it", secret=True)
    openai_model: str = _setting("", values.words, "Name of the model that agents of this kind use; empty: the agent's own choice")
    anthropic_url: str = _setting("", values.web_address, "Where agents find Anthropic's API; empty: Anthropic itself, if there is a key")
    anthropic_key: str = _setting("", values.words, "Key for it; no sandbox ever sees it", secret=True)
    anthropic_model: str = _setting("", values.words, "Name of the model that agents of this kind use; empty: the agent's own choice")
    gemini_url: str = _setting("", values.web_address, "Where agents find Gemini's API; empty: Google itself, if there is a key")
    gemini_key: str = _setting("", values.words, "Key for it; no sandbox ever sees it", secret=True)
    gemini_model: str = _setting("", values.words, "Name of the model that agents of this kind use; empty: the agent's own choice")
    run_tokens: int = _setting(5_000_000, values.whole(0, 999_999_999), "Tokens that one run may use; 0: no limit")
    session_tokens: int = _setting(50_000_000, values.whole(0, 999_999_999), "Tokens that all runs of a session may use together; 0: no limit")
    run_money: float = _setting(0.0, values.amount, "Money that one run may use, by SWARM_PRICES; 0: no limit")
    session_money: float = _setting(0.0, values.amount, "Money that all runs of a session may use together; 0: no limit")
    prices: dict[str, Any] | None = _setting(None, values.parsed_by("engine.gateway.prices.parse_prices"),
                                  "Price table: JSON, or a file that holds it; model -> input, output per million tokens")
    egress_hosts: tuple[str, ...] = _setting((), values.parsed_by("engine.gateway.addresses.parse_hosts"),
                                          "Hosts that runs may fetch from: names, *.names, and sets such as npm or pypi; empty: none")
    egress_mb: int = _setting(2000, values.whole(1, 1000000), "Most that one run may fetch and send, in all")
    gateway_ca: Path | None = _setting(None, values.file_of("certificates (PEM)"),
                                      "File of further certificate authorities for models behind https; empty: the system's")

    forge: str = _setting("auto", values.one_of("auto", "github", "gitlab", "none"),
                          "What opens pull requests; auto: by the repository's host; none: branches only")
    forge_url: str = _setting("", values.web_address, "Address of an own forge (Enterprise Server, GitLab); empty: github.com and gitlab.com")
    forge_token: str = _setting("", values.words, "Token for it: an installation token or a fine-grained one; never shown", secret=True)
    forge_token_file: Path | None = _setting(None, values.file_of("a token"), "File that holds the token instead, read anew each time")
    forge_poll_seconds: float = _setting(60.0, values.seconds(0.05, 86400), "Between two looks at what became of a pull request")
    webhook_secret: str = _setting("", values.words, "Secret of POST /api/forge/webhook, with which a forge says that something happened; empty: none",
                                   secret=True)
    protected_paths: tuple[str, ...] = _setting((".github/workflows", ".github/actions", ".gitlab-ci.yml"), values.names,
                                                "Changes to these paths are pushed only when a person has approved them, separated by commas")
    public_url: str = _setting("", values.web_address, "Address of these pages in links from pull requests; empty: no links")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Config":
        """Reads SWARM_<NAME>. Raises Refused naming the variable, its value and what is allowed."""
        known = {variable(f.name): f for f in fields(cls)}
        given = {}
        for name, f in known.items():
            if name in env:
                try:
                    given[f.name] = f.metadata["parse"](env[name].strip())
                except ValueError as why:
                    shown = name if f.metadata["secret"] else f"{name}={env[name]!r}"
                    raise Refused(f"{shown} is not possible. Allowed: {why}.") from None
        return cls(**given)

    def reaches(self, kind: str) -> bool:
        """Whether the operator has given a URL or a key for models of this kind: openai, anthropic or gemini."""
        return bool(getattr(self, f"{kind}_url") or getattr(self, f"{kind}_key"))

    @property
    def database(self) -> Path:
        return self.data / "swarm.db"

    @property
    def agents_folder(self) -> Path:
        return self.agents or self.data / "agents"

    @property
    def image(self) -> Path:
        """The folder of the virtual machines' image."""
        return self.data / "images" / self.vm_image

    @property
    def vm(self) -> VmSpec:
        return VmSpec(str(self.image), self.vm_memory_mb, self.vm_cpus, self.vm_disk_mb, self.vm_templates == "on", self.vm_boot_seconds)

    def described(self, env: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
        """For people: [{name, value, source, meaning}], in the order of this file. Of a secret only whether it is set."""
        return [{"name": variable(f.name), "value": _shown(getattr(self, f.name), f.metadata["secret"]), "meaning": f.metadata["meaning"],
                 "source": "environment" if variable(f.name) in env else "default"} for f in fields(self)]


def unknown_settings(env: Mapping[str, str] = os.environ) -> list[str]:
    """A sentence for each SWARM_ variable that is no setting: most often a misspelt one."""
    known = [variable(f.name) for f in fields(Config)]
    sentences = []
    for name in sorted(set(env) - {*known, "SWARM_REQUIRE_ALL", crash.VARIABLE}):
        if name.startswith("SWARM_"):
            near = difflib.get_close_matches(name, known, 1)
            sentences.append(f"{name} is not a setting and is ignored." + (f" Did you mean {near[0]}?" if near else ""))
    return sentences


def variable(name: str) -> str:
    return "SWARM_" + name.upper()


def _shown(value: object, secret: bool = False) -> str:
    if secret:
        return "(set)" if value else "(empty)"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(empty)"
    if value in (None, "", {}):
        return "(empty)"
    return f"{value:g}" if isinstance(value, float) else str(value)
