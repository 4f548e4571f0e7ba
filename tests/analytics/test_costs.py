"""Cost: exact decimals where a price is known, frozen with it; unknown otherwise, never zero."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

import nbchat
from nbchat.engine.attempt import Attempt
from nbchat.engine.plan import Target
from nbchat.engine.record import request_row
from nbchat.exchange import Reply, Usage
from nbchat.messages import Text
from nbchat.prices import cost_of
from nbchat.providers import find_provider
from nbchat.store.persist import WHOLE
from nbchat.store.turns import begin_turn, save_request
from nbchat.wires.function import FunctionDecoder

AT = datetime(2026, 6, 1, 12)
MINI = {"input_mtok": "0.4", "cache_read_mtok": "0.1", "output_mtok": "1.6"}
USAGE = Usage(input_tokens=1000, output_tokens=500, cached_input_tokens=200)


def attempt_of(reply):
    """An attempt that has ended with this reply."""
    decoder = FunctionDecoder()
    for _ in decoder.feed(reply):
        pass
    decoder.finish()
    return Attempt(1, 1, started_at=AT, ended_ms=5.0, status_code=200, decoder=decoder)


def openai():
    return Target(find_provider("openai"), "gpt-4.1-mini")


def row_of(target, usage, **more):
    reply = Reply((Text("hi"),), None, usage, "stop", **more)
    return request_row(target, attempt_of(reply), None)


def test_a_known_price_gives_an_exact_decimal_and_is_kept_with_it():
    cost = cost_of("openai", "gpt-4.1-mini", USAGE, AT)

    assert cost.usd == Decimal("0.00114")  # 800 x 0.4 + 200 x 0.1 + 500 x 1.6, per million
    assert cost.price == MINI
    assert cost.source.startswith("genai-prices ")


def test_prices_by_size_are_kept_with_the_tokens_they_start_at():
    cost = cost_of("anthropic", "claude-sonnet-4-5", USAGE, AT)

    assert cost.usd == Decimal("0.00996")
    assert cost.price["output_mtok"] == {"0": "15", "200000": "22.5"}


@pytest.mark.parametrize(
    ("prices", "model", "usage"),
    [
        (None, "gpt-4.1-mini", USAGE),
        ("openai", "no-such-model", USAGE),
        ("no-such-provider", "gpt-4.1-mini", USAGE),
        ("openai", "gpt-4.1-mini", Usage()),
        ("openai", "gpt-4.1-mini", Usage(input_tokens=1000)),
        ("openai", "gpt-4.1-mini", Usage(1, 1, cached_input_tokens=5)),
        ("openai", "gpt-4.1-mini", Usage(cost_usd=Decimal("NaN"))),
    ],
    ids=["no list", "model", "provider", "usage", "half", "contradiction", "no number"],
)
def test_an_unknown_price_is_none(prices, model, usage):
    assert cost_of(prices, model, usage, AT) is None


def test_what_the_provider_says_it_charged_wins():
    charged = replace(USAGE, cost_usd=Decimal("0.00014100000000000001"))

    cost = cost_of("openai", "gpt-4.1-mini", charged, AT)

    assert (cost.usd, cost.source, cost.price) == (Decimal("0.000141"), "provider", None)


def test_the_model_that_answered_is_priced_else_the_one_that_was_asked():
    answered = row_of(openai(), USAGE, model="gpt-4.1")
    unheard_of = row_of(openai(), USAGE, model="gpt-4.1-mini-of-tomorrow!")

    assert answered.cost_usd == Decimal("0.0057")
    assert unheard_of.cost_usd == Decimal("0.00114")


def test_an_answer_that_was_cut_off_has_an_unknown_cost():
    reply = Reply((Text("hal"),), None, USAGE, None)

    row = request_row(openai(), attempt_of(reply), nbchat.BrokenStream("cut"))

    assert (row.cost_usd, row.usage.output_tokens, row.usage.input_tokens) == (None, None, 1000)


def test_a_cost_is_frozen_in_the_store_to_the_last_digit():
    with nbchat.open_store(":memory:") as store:
        chat = nbchat.create_chat("openai/gpt-4.1-mini", store=store)
        row = row_of(openai(), Usage(input_tokens=3, output_tokens=1))

        def save(cursor):
            begun = begin_turn(
                cursor, chat.id, (), "hi", model=chat.model, provider="openai", persist=WHOLE
            )
            save_request(cursor, begun.assistant, row, WHOLE)
            return cursor.execute('select "cost_usd" from "requests"').fetchall()

        saved = store.transact(save)
        frame = store.sql("select cost_usd, cost_source, price ->> 'input_mtok' as p from requests")

    assert saved == [(Decimal("0.0000028"),)]
    assert frame["cost_usd"].tolist() == [0.0000028]
    assert frame["p"].tolist() == ["0.4"]
    assert frame["cost_source"][0].startswith("genai-prices ")


def test_a_turns_cost_is_the_sum_of_its_requests_live_and_reloaded(tmp_path):
    answers = [
        [nbchat.messages.ToolCall("nope"), Usage(10, 5, cost_usd=Decimal("0.000000000001"))],
        ["done", Usage(20, 5, cost_usd=Decimal("0.1"))],
        ["free", Usage(1, 1, cost_usd=Decimal(0))],
        ["unknown", Usage(1, 1)],
    ]
    store = nbchat.open_store(tmp_path / "chats.duckdb")
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: answers.pop(0))

    said = [chat.ask("a"), chat.ask("b"), chat.ask("c")]
    stored = nbchat.load_chat(chat.id, store=store).messages()[1::2]

    assert [message.cost_usd for message in said] == [Decimal("0.100000000001"), Decimal(0), None]
    assert [message.cost_usd for message in stored] == [message.cost_usd for message in said]
    stats = chat.stats()
    assert stats["cost_usd"].tolist() == [pytest.approx(0.100000000001)]
    assert stats["cost_complete"].tolist() == [False]
    store.close()
