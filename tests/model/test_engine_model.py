"""The engine against a model: whatever people, processes and deaths do, in any order, the truths of model_truths.py hold."""
import os

import pytest

if os.environ.get("SWARM_REQUIRE_ALL") != "1":
    pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install hypothesis")
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from model_machine import SwarmMachine

EXAMPLES = int(os.environ.get("SWARM_MODEL_EXAMPLES", "30"))  # make chaos asks for more
PHASES = [Phase.generate, Phase.shrink] if os.environ.get("SWARM_MODEL_SHRINK", "1") == "1" else [Phase.generate]
STEPS = int(os.environ.get("SWARM_MODEL_STEPS", "30"))


def test_whatever_happens_nothing_is_lost_run_twice_or_stuck() -> None:
    run_state_machine_as_test(SwarmMachine, settings=settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=True, phases=PHASES, report_multiple_bugs=False, database=None,
        print_blob=False, suppress_health_check=list(HealthCheck)))
