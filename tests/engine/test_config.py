"""Settings: read once, named when bad, and all of them documented."""
from dataclasses import fields

import pytest

from engine.config import ROOT, Config, unknown_settings, variable
from engine.errors import Refused


def test_every_setting_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    missing = [variable(field.name) for field in fields(Config) if f"`{variable(field.name)}`" not in text]
    assert not missing


@pytest.mark.parametrize(("name", "value", "allowed"), [
    ("SWARM_PORT", "http", "whole number"), ("SWARM_PORT", "70000", "whole number"), ("SWARM_SLOTS", "0", "whole number"),
    ("SWARM_RUN_SECONDS", "-1", "seconds"), ("SWARM_RUNTIME", "docker", "one of auto"), ("SWARM_HOST", "0.0.0.0", "loopback"),
    ("SWARM_HOST", "example.org", "loopback"), ("SWARM_REPOSITORY_ROOTS", "relative/path", "absolute"),
    ("SWARM_REPOSITORY_URL", "https://host/x.git", "{repository}"), ("SWARM_SYNCHRONOUS", "OFF", "one of FULL")])
def test_a_bad_value_stops_the_start_with_its_name_its_value_and_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(Refused) as caught:
        Config.from_env({name: value})
    assert name in caught.value.sentence and repr(value) in caught.value.sentence and allowed in caught.value.sentence


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant() -> None:
    assert unknown_settings({"SWARM_SLOT": "3", "SWARM_SLOTS": "3", "PATH": "/bin"}) == [
        "SWARM_SLOT is not a setting, so it is ignored. Did you mean SWARM_SLOTS?"]


def test_values_are_read_and_their_source_is_told(tmp_path) -> None:
    env = {"SWARM_DATA": str(tmp_path), "SWARM_SLOTS": "7", "SWARM_ALLOWED_HOSTS": "Swarm.Example, other"}
    config = Config.from_env(env)
    assert (config.data, config.slots, config.allowed_hosts) == (tmp_path, 7, ("swarm.example", "other"))
    sources = {row["name"]: row["source"] for row in config.described(env)}
    assert (sources["SWARM_SLOTS"], sources["SWARM_PORT"]) == ("environment", "default")
