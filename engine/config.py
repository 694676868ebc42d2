"""All settings: name, default and meaning, one per line. Config.from_env() reads them once from the environment."""
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

    host: str = _setting("127.0.0.1", values.loopback, "Address to listen on; only loopback addresses")
    port: int = _setting(8080, values.whole(0, 65535), "Port to listen on; 0: any free port")
    allowed_hosts: tuple[str, ...] = _setting((), values.names, "More Host names that the server answers to, separated by commas")
    local_users: tuple[str, ...] = _setting((), values.users, "Users of this machine whose requests are answered beside the server's own user and root:"
                                            " uids or names, separated by commas; *: every user")
    tls_cert: Path | None = _setting(None, values.optional_file, "File with the certificate (PEM) for https; empty: http")
    tls_key: Path | None = _setting(None, values.optional_file, "File with the private key of SWARM_TLS_CERT (PEM)")
    data: Path = _setting(ROOT / "data", values.folder, "Folder that holds swarm.db, repos/, stores/, runs/ and images/")
    runtime: str = _setting("auto", values.registered("engine.runtimes.RUNTIMES"),
                            "Sandbox that runs a ticket; auto: the best one that works")
    agent: str = _setting("auto", values.registered("engine.agents.AGENTS"), "Agent for tickets whose card names none; auto: the first one that can run")
    agents: Path | None = _setting(None, values.optional_folder, "Folder where make agents installs; empty: agents/ in SWARM_DATA")
    agent_command: str = _setting("", values.words, "Shell command of the agent custom; $SWARM_PROMPT is the file with the prompt")
    slots: int = _setting(os.cpu_count() or 2, values.whole(1, 512), "Most runs at the same time; default: number of cores")
    poll_seconds: float = _setting(2.0, values.seconds(0.05, 60), "Longest pause between two ticks of the engine")
    max_attempts: int = _setting(3, values.whole(1, 100), "Failed runs before a ticket asks for your decision")
    run_seconds: float = _setting(3600.0, values.seconds(1, 604800), "Longest time of a run")
    stall_seconds: float = _setting(600.0, values.seconds(1, 604800), "Longest time that a run may write nothing")
    check_seconds: float = _setting(600.0, values.seconds(1, 604800), "Longest time of a single check")
    log_mb: int = _setting(20, values.whole(1, 10000), "Largest log of a run; the engine stops a run that writes more")
    work_mb: int = _setting(2048, values.whole(16, 1000000), "Largest work tree of a run")
    memory_mb: int = _setting(4096, values.whole(64, 1000000), "Most memory of all processes of a run together; a run that uses more is stopped")
    processes: int = _setting(512, values.whole(16, 100000), "Most processes and threads of a run; a run that has more is stopped")
    vm_image: str = _setting("default", values.name, "Image in images/ that virtual machines start from")
    vm_memory_mb: int = _setting(1024, values.whole(256, 1000000), "Memory of a virtual machine; as many run at once as fit into the host's memory")
    vm_cpus: int = _setting(1, values.whole(1, 64), "Processors of a virtual machine")
    vm_disk_mb: int = _setting(4096, values.whole(64, 1000000), "Disk of a virtual machine; memory and disk together hold its files")
    vm_templates: str = _setting("on", values.one_of("on", "off"), "on: virtual machines are clones of a booted one; off: each one boots")
    vm_boot_seconds: float = _setting(60.0, values.seconds(1, 3600), "Longest start of a virtual machine (more on a busy host) before another try")
    vm_packages: tuple[str, ...] = _setting((), values.packages, "More Debian packages for make vm-image, separated by spaces")
    vm_files: Path | None = _setting(None, values.optional_folder, "Folder whose files make vm-image copies over the image; empty: none")
    vm_suite: str = _setting("bookworm", values.name, "Debian release that make vm-image uses")
    vm_mirror: str = _setting("", values.mirror, "Debian mirror that make vm-image downloads from; empty: the usual ones")
    vm_accelerator: str = _setting("auto", values.one_of("auto", "kvm", "tcg"), "Accelerator that make vm-image tries; auto: kvm if the image boots with it")
    keep_days: int = _setting(30, values.whole(1, 36500), "Days to keep the folders of ended runs (logs, prompts); database rows stay")
    keep_mb: int = _setting(10000, values.whole(1, 100000000), "Largest size of all folders of ended runs; the oldest are removed first")
    keep_repository_days: int = _setting(90, values.whole(1, 36500), "Days to keep our repositories of sessions whose result was delivered")
    keep_environment_days: int = _setting(30, values.whole(1, 36500), "Days to keep the environment of a repository that no build uses")
    keep_environment_mb: int = _setting(20000, values.whole(1, 100000000), "Largest size of all environments; those unused for longest are removed first")
    keep_repository_mb: int = _setting(20000, values.whole(1, 100000000), "Largest size of all these repositories; the oldest are removed first")
    answer_seconds: float = _setting(0.0, values.seconds(0, 31536000), "How long a question waits before its first option is assumed; 0: forever")
    backoff_seconds: float = _setting(10.0, values.seconds(0, 3600), "First pause after a failed attempt; it doubles each time, up to 5 minutes")
    tenants: tuple[str, ...] = _setting((), values.exact_names,
                                        "Other tenants of a database in the older form whose builds continue, separated by commas; *: all of them")
    synchronous: str = _setting("FULL", values.one_of("FULL", "NORMAL"), "SQLite durability: FULL survives a power cut, NORMAL may lose the last commits")
    repository_url: str = _setting("https://github.com/{repository}.git", values.url_pattern, "URL that owner/repo stands for")
    repository_roots: tuple[Path, ...] = _setting((), values.folders, "Folders whose local repositories may be used, separated by ':'; empty: none")
    repository_protocols: tuple[str, ...] = _setting(("https", "ssh"), values.names, "git protocols that a repository URL may use")
    model_url: str = _setting("", values.web_address, "OpenAI-compatible endpoint that drafts cards, such as http://127.0.0.1:11434/v1; empty: none")
    model_key: str = _setting("", values.words, "Key for SWARM_MODEL_URL; never shown", secret=True)
    model: str = _setting("", values.words, "Name of the model that drafts cards")
    model_seconds: float = _setting(60.0, values.seconds(0.1, 3600), "Longest time of drafting by a model; after that the template drafts")
    openai_url: str = _setting("", values.web_address, "Address of OpenAI's API for agents, with /v1; empty: OpenAI itself, if a key is set")
    openai_key: str = _setting("", values.words, "Key for this API; sandboxes never see it", secret=True)
    openai_model: str = _setting("", values.words, "Model that agents use with this API; empty: the agent's own choice")
    anthropic_url: str = _setting("", values.web_address, "Address of Anthropic's API for agents; empty: Anthropic itself, if a key is set")
    anthropic_key: str = _setting("", values.words, "Key for this API; sandboxes never see it", secret=True)
    anthropic_model: str = _setting("", values.words, "Model that agents use with this API; empty: the agent's own choice")
    gemini_url: str = _setting("", values.web_address, "Address of Gemini's API for agents; empty: Google itself, if a key is set")
    gemini_key: str = _setting("", values.words, "Key for this API; sandboxes never see it", secret=True)
    gemini_model: str = _setting("", values.words, "Model that agents use with this API; empty: the agent's own choice")
    run_tokens: int = _setting(5_000_000, values.whole(0, 999_999_999), "Tokens that one run may use; 0: no limit")
    session_tokens: int = _setting(50_000_000, values.whole(0, 999_999_999), "Tokens that all runs of a session may use together; 0: no limit")
    run_money: float = _setting(0.0, values.amount, "Money that one run may use, at SWARM_PRICES; 0: no limit")
    session_money: float = _setting(0.0, values.amount, "Money that all runs of a session may use together; 0: no limit")
    prices: dict[str, Any] | None = _setting(None, values.parsed_by("engine.gateway.prices.parse_prices"),
                                  "Price table as JSON, or a file with it; model -> input, output per million tokens")
    egress_hosts: tuple[str, ...] = _setting((), values.parsed_by("engine.gateway.addresses.parse_hosts"),
                                          "Hosts that runs may reach: names, *.names, and sets such as npm or pypi; empty: none")
    egress_mb: int = _setting(2000, values.whole(1, 1000000), "Most that one run may send and receive, in total")
    mirrors: dict[str, str] | None = _setting(None, values.parsed_by("engine.gateway.mirrors.parse_mirrors"),
                                       "Your own registries in the place of public ones: pypi=https://nexus.example/simple npm=…, separated by spaces",
                                       secret=True)
    egress_private: tuple[str, ...] = _setting((), values.parsed_by("engine.gateway.mirrors.parse_private"),
                                               "Allowed hosts that may be at private addresses and at other ports than 80 and 443, separated by commas")
    egress_proxy: str = _setting("", values.parsed_by("engine.gateway.mirrors.parse_parent"),
                                 "Proxy through which runs reach public hosts: http://user:password@proxy.example:3128; never shown", secret=True)
    egress_ca: Path | None = _setting(None, values.file_of("certificates (PEM)"),
                                      "File with more certificate authorities that sandboxes trust, for your own registries and proxies")
    gateway_ca: Path | None = _setting(None, values.file_of("certificates (PEM)"),
                                      "File with more certificate authorities for models behind https; empty: the system's")

    forge: str = _setting("auto", values.one_of("auto", "github", "gitlab", "none"),
                          "Forge that opens pull requests; auto: from the repository's host; none: only branches")
    forge_url: str = _setting("", values.web_address, "Address of your own forge (Enterprise Server, GitLab); empty: github.com and gitlab.com")
    forge_token: str = _setting("", values.words, "Token for the forge: an installation token or a fine-grained one; never shown", secret=True)
    forge_token_file: Path | None = _setting(None, values.file_of("a token"), "File with the token instead; it is read each time")
    forge_poll_seconds: float = _setting(60.0, values.seconds(0.05, 86400), "Time between two looks at a pull request")
    forge_pending_seconds: float = _setting(1800.0, values.seconds(0, 86400), "Longest time that checks which still run hold up a failed one")
    webhook_secret: str = _setting("", values.words, "Secret of POST /api/forge/webhook, which a forge calls when something happened; empty: none",
                                   secret=True)
    protected_paths: tuple[str, ...] = _setting((".github/workflows", ".github/actions", ".gitlab-ci.yml"), values.names,
                                                "Paths whose changes are pushed only after you approve them, separated by commas")
    public_url: str = _setting("", values.web_address, "Address of these pages for links in pull requests; empty: no links")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Config":
        """Reads the variables SWARM_<NAME>. Raises Refused, which names the variable, its value and the allowed values."""
        known = {variable(f.name): f for f in fields(cls)}
        given = {}
        for name, f in known.items():
            if name in env:
                try:
                    given[f.name] = f.metadata["parse"](env[name].strip())
                except ValueError as why:
                    shown = name if f.metadata["secret"] else f"{name}={env[name]!r}"
                    raise Refused(f"{shown} is not valid. Allowed: {why}. Change it and start again.") from None
        return cls(**given)

    def reaches(self, kind: str) -> bool:
        """True if the operator has set a URL or a key for models of this kind: openai, anthropic or gemini."""
        return bool(getattr(self, f"{kind}_url") or getattr(self, f"{kind}_key"))

    @property
    def database(self) -> Path:
        return self.data / "swarm.db"

    @property
    def agents_folder(self) -> Path:
        return self.agents or self.data / "agents"

    @property
    def image(self) -> Path:
        """Folder of the image that virtual machines start from."""
        return self.data / "images" / self.vm_image

    @property
    def vm(self) -> VmSpec:
        return VmSpec(str(self.image), self.vm_memory_mb, self.vm_cpus, self.vm_disk_mb, self.vm_templates == "on", self.vm_boot_seconds)

    def described(self, env: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
        """All settings for display: [{name, value, source, meaning}], in the order of this file. A secret shows only whether it is set."""
        return [{"name": variable(f.name), "value": _shown(getattr(self, f.name), f.metadata["secret"]), "meaning": f.metadata["meaning"],
                 "source": "environment" if variable(f.name) in env else "default"} for f in fields(self)]


def unknown_settings(env: Mapping[str, str] = os.environ) -> list[str]:
    """A sentence for each SWARM_ variable that is not a setting, which is often a misspelt one."""
    known = [variable(f.name) for f in fields(Config)]
    sentences = []
    for name in sorted(set(env) - {*known, "SWARM_REQUIRE_ALL", crash.VARIABLE}):
        if name.startswith("SWARM_"):
            near = difflib.get_close_matches(name, known, 1)
            sentences.append(f"{name} is not a setting, so it is ignored." + (f" Did you mean {near[0]}?" if near else ""))
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
