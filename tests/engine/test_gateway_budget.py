"""Money that is not there is not spent: notices, refusals, requests that run side by side, and runs that share a session's budget."""
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import HANG, until
from gateway_side import Side, side
from model_upstream import Handler, chat, served

from engine.gateway.prices import cost, parse_prices, price_of
from engine.gateway.shapes import Tokens
from engine.jobs import Budget

PRICES = {"m": {"input": 10.0, "output": 100.0, "cache_read": 1.0}, "m-*": {"input": 1.0}, "*": {"input": 2.0}}


def test_at_80_percent_there_is_a_notice_and_at_100_every_request_is_refused_in_the_providers_words(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}, budget=Budget(run_tokens=220)) as gateway:
        assert gateway.chat(max_tokens=10).status == 200
        gateway.usage(1)
        assert gateway.service.notices() == []
        assert gateway.chat(max_tokens=10).status == 200
        gateway.usage(2)
        refused = gateway.chat(max_tokens=10)
        assert (refused.status, refused.json["error"]["code"]) == (402, "over_budget")
        assert "220 of 220 tokens" in refused.json["error"]["message"]
        assert len(upstream.seen) == 2 and gateway.service.over_budget == "The budget of this run is used up (220 of 220 tokens)."
        assert gateway.service.notices() == ["The run has used more than 80 % of its budget: 220 of 220 tokens."] and gateway.service.notices() == []


def test_what_was_done_with_the_last_of_the_budget_counts_as_done(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}, budget=Budget(run_tokens=110)) as gateway:
        assert gateway.chat(max_tokens=10).status == 200
        assert gateway.usage()["over_budget"] and gateway.service.over_budget is None and not gateway.service.is_spent()


def test_requests_side_by_side_cannot_spend_the_same_tokens(tmp_path: Path) -> None:
    release = threading.Event()

    def slow(handler: Handler, body: Any) -> None:
        release.wait(HANG)
        chat(handler, body)

    with served(slow) as upstream, side(tmp_path, {"openai": upstream.url}, budget=Budget(run_tokens=1000)) as gateway:
        replies: list[int] = []
        threads = [threading.Thread(target=lambda: replies.append(gateway.chat(max_tokens=900).status)) for _ in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: replies.count(429) == 4)  # two fit, by what they have reserved
        release.set()
        for thread in threads:
            thread.join(HANG)
        assert sorted(replies) == [200, 200, 429, 429, 429, 429] and len(upstream.seen) == 2
        assert gateway.usage(2)["total"] == 220 and gateway.chat().status == 200


def test_a_reply_that_runs_on_is_ended_when_the_budget_is(tmp_path: Path) -> None:
    def endless(handler: Handler, body: Any) -> None:
        handler.stream({"choices": [{"delta": {"content": "word " * 6}}]} for _ in range(100_000))

    with served(endless) as upstream, side(tmp_path, {"openai": upstream.url}, budget=Budget(run_tokens=2000)) as gateway:
        reply = gateway.chat(stream=True)
        assert b"over_budget" in reply.body.splitlines()[-2] and upstream.hung_up.wait(HANG)
        assert 2000 <= gateway.usage()["total"] < 20_000 and gateway.service.over_budget


def test_runs_of_a_session_see_what_the_others_spend_while_they_spend_it(tmp_path: Path) -> None:
    with served() as upstream:
        budget = Budget(session_tokens=330, session_spent_tokens=0)
        models = {"openai": upstream.url}
        with side(tmp_path, models, run="a", budget=budget) as one, side(tmp_path, models, run="b", budget=budget) as two:
            for gateway, settled in ((one, 1), (two, 1), (one, 2)):
                assert gateway.chat(max_tokens=1).status == 200
                gateway.usage(settled)
            refused = two.chat(max_tokens=1)
            assert refused.status == 402 and "session is used up (330 of 330 tokens)" in refused.json["error"]["message"]


def test_what_ended_runs_have_spent_counts_even_where_their_ledgers_are_gone(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}, budget=Budget(session_tokens=100, session_spent_tokens=100)) as gateway:
        assert gateway.chat().status == 402 and upstream.seen == []


def test_money_is_counted_by_the_price_table_and_a_model_without_a_price_is_refused_where_money_is_limited(tmp_path: Path) -> None:
    prices = {"m": PRICES["m"]}
    with served() as upstream, side(tmp_path, {"openai": upstream.url}, budget=Budget(run_money=0.0018), prices=prices) as gateway:
        assert gateway.chat(max_tokens=1).status == 200
        assert gateway.usage()["money"] == pytest.approx((80 * 10 + 20 * 1 + 10 * 100) / 1e6)
        assert (gateway.chat("other").status, gateway.chat("other").json["error"]["code"]) == (403, "no_price")
        assert gateway.chat(max_tokens=1).status == 402
    with served() as upstream, side(tmp_path, {"openai": upstream.url}, run="run-2", prices=prices) as gateway:
        assert gateway.chat("other").status == 200 and gateway.usage()["unpriced"] == ["other"]


def test_the_longest_name_that_fits_is_the_price() -> None:
    assert [price_of(PRICES, name) for name in ("m", "m-2", "n")] == [PRICES["m"], PRICES["m-*"], PRICES["*"]]
    assert price_of({}, "m") is None
    assert cost({"input": 3.0, "output": 15.0}, Tokens(1_000_000, 1_000_000, 1_000_000, 1_000_000)) == 24.0


@pytest.mark.parametrize("text", ["[]", "{", '{"m": 3}', '{"m": {}}', '{"m": {"in": 3}}', '{"m": {"input": -1}}', '{"m": {"input": NaN}}', '{"currency": 3}',
                                  '{"currency": "a b\\n", "m": {"input": 1}}', '{"currency": "much too long", "m": {"input": 1}}',
                                  "/nonexistent/prices.json"])
def test_a_price_table_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        parse_prices(text)


def test_a_price_table_is_read_from_text_or_file(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"m": {"input": 3}}')
    assert parse_prices(str(tmp_path / "prices.json")) == parse_prices('{"m": {"input": 3.0}}') == {"m": {"input": 3.0}}
    assert parse_prices("") == {}
    table = parse_prices('{"currency": "EUR", "m": {"input": 3}}')
    assert (table, table.currency) == ({"m": {"input": 3.0}}, "EUR")


def _spend(gateway: Side, times: int) -> None:
    for _ in range(times):
        gateway.chat(max_tokens=1)


def test_spending_at_the_same_time_in_two_runs_loses_nothing(tmp_path: Path) -> None:
    with served() as upstream, side(tmp_path, {"openai": upstream.url}, run="a") as one, side(tmp_path, {"openai": upstream.url}, run="b") as two:
        threads = [threading.Thread(target=_spend, args=(gateway, 10)) for gateway in (one, two) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
        assert one.usage(20)["total"] == two.usage(20)["total"] == 20 * 110
