"""How long a ticket waits after a failure."""
import random

import pytest

from engine.times import delay


def test_the_pause_doubles_with_each_failure_up_to_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda least, most: (least + most) / 2)
    assert [delay(failures, 10.0) for failures in (1, 2, 3, 4, 5, 6, 7, 10_000)] == [10, 20, 40, 80, 160, 300, 300, 300]


def test_failures_of_one_cause_do_not_come_back_at_once() -> None:
    pauses = [delay(3, 10.0) for _ in range(1000)]
    assert 32 <= min(pauses) < 35 and 45 < max(pauses) <= 48


def test_no_pause_stays_none_however_often_it_fails() -> None:
    assert {delay(failures, 0.0) for failures in (1, 5, 10_000)} == {0.0}
