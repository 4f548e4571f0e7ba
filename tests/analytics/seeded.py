"""Stores to ask questions about: empty, with one turn, of unknowns only, with a bit of all."""

from decimal import Decimal

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.store import Store

FULL = Usage(100, 20, 30, 10, 5, Decimal("0.000123456789"))


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail() -> None:
    """Fail."""
    raise ValueError("no")


def empty(store: Store) -> None:
    """Nothing was ever said."""


def one_turn(store: Store) -> None:
    """One question, one answer, all known."""
    _chat(store, "function/a", ["hello", FULL]).ask("hi")


def unknown(store: Store) -> None:
    """Two answers of which nothing is known."""
    chat = _chat(store, "function/a", "hello", "again")
    chat.ask("hi")
    chat.ask("hi")


def mixed(store: Store) -> None:
    """Chats with metadata, two models, tools, retries, failures, a stopped turn and an agent."""
    ada = _chat(
        store, "function/a",
        [ToolCall("add", {"a": 1, "b": 2}), ToolCall("fail"), ToolCall("nope"), FULL],
        [ToolCall("add", {"a": "x"}), FULL],
        ["3", FULL],
        nbchat.RateLimited("slow", status=429, retry_after_s=0.0),
        ["free", Usage(7, 3, cost_usd=Decimal(0))],
        metadata={"user_id": 7, "team": "a"},
    )  # fmt: skip
    ada.ask("add 1 and 2")
    ada.ask("again")
    bob = _chat(
        store, "function/b",
        ["priced", FULL],
        ["price unknown", Usage(50, 60)],
        nbchat.BadRequest("no", status=400),
        iter(["one ", "two ", "three"]),
        metadata={"user_id": "bob"},
    )  # fmt: skip
    bob.ask("first")
    bob.ask("second")
    try:
        bob.ask("third")
    except nbchat.BadRequest:
        for _event in bob.ask_stream("fourth"):
            break
    store.sql(
        "insert into agent_sessions select uuid(), 'Support', id, '{}', created_at, updated_at "
        "from chats where model = 'function/a'",
        write=True,
    )


def _chat(store: Store, model: str, *answers: object, **options: object) -> nbchat.Chat:
    left = list(answers)
    return nbchat.create_chat(
        model, store=store, respond=lambda request: left.pop(0), tools=[add, fail], **options
    )


SEEDS = {"empty": empty, "one turn": one_turn, "unknown": unknown, "mixed": mixed}
