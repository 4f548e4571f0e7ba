"""Faults that two fresh readings found, each as the promise it broke."""

import asyncio
import os
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, scripted


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.mark.parametrize("usd", ["5000000", "-1", "NaN", "1e30"])
def test_a_cost_that_no_column_holds_loses_no_answer(store: nbchat.Store, usd: str) -> None:
    replies = [["dear", Usage(1, 1, cost_usd=Decimal(usd))], "next"]
    chat = nbchat.create_chat("function/x", respond=scripted(replies), store=store)

    assert chat.ask("one").content == "dear"
    assert chat.ask("two").content == "next"
    assert chat.stats()["cost_complete"].tolist() == [False]


def test_a_round_whose_calls_are_all_refused_tells_of_each(store: nbchat.Store) -> None:
    calls = [ToolCall("nope", {}, "c1"), ToolCall("nope", {}, "c2")]
    chat = nbchat.create_chat("function/x", respond=scripted([calls, "sorry"]), store=store)

    kinds = [event.kind for event in chat.ask_stream("go")]

    refused = ["tool_start", "tool_end"]
    assert kinds == ["usage", *refused, *refused, "text", "usage", "done"]


def test_a_validator_that_raises_anything_makes_the_call_invalid(store: nbchat.Store) -> None:
    def find(name: Annotated[str, AfterValidator(lambda name: {}[name])]) -> str:
        """Find somebody."""
        return name

    replies = [[ToolCall("find", {"name": "Ada"}, "c1")], "sorry"]
    chat = nbchat.create_chat("function/x", respond=scripted(replies), store=store, tools=[find])

    assert chat.ask("go").content == "sorry"
    rows = store.sql("select status, error from tool_calls").to_dict("records")
    assert rows == [{"status": "invalid", "error": "KeyError: 'Ada'"}]


def test_arguments_given_as_json_text_are_read(store: nbchat.Store) -> None:
    def add(city: str) -> str:
        """Add a city."""
        return city

    call = {"id": "1", "type": "function"}
    call |= {"function": {"name": "add", "arguments": '{"city": "Oslo"}'}}
    chat = nbchat.create_chat(
        "function/x", respond=scripted([[call], "done"]), store=store, tools=[add]
    )

    chat.ask("go")

    found = store.sql("select arguments->>'city' as city, status from tool_calls")
    assert found.to_dict("records") == [{"city": "Oslo", "status": "ok"}]


@pytest.mark.parametrize("way", ["ask", "ask_stream"])
def test_an_async_tool_that_would_wait_for_its_own_thread_is_refused(
    store: nbchat.Store, way: str
) -> None:
    other = nbchat.create_chat("function/y", respond=scripted(["never"]), store=store)

    async def relay() -> str:
        """Ask the other one."""
        return str(getattr(other, way)("hello"))

    replies = [[ToolCall("relay", {}, "c1")], "done"]
    chat = nbchat.create_chat("function/x", respond=scripted(replies), store=store, tools=[relay])

    assert chat.ask("go").content == "done"
    assert other.messages() == []
    assert "await chat.aask" in store.sql("select error from tool_calls")["error"][0]


def test_a_respond_function_never_answers_for_another_provider(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=scripted(["mine"] * 2), store=store)
    with ReplayServer("theirs") as server:
        chat.with_model("openai/gpt-4.1-mini", base_url=server.url)
        assert chat.ask("hello").content == "theirs"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": float("nan")},
        {"temperature": True},
        {"max_tokens": True},
        {"thinking": {"budget": "lots"}},
        {"thinking": {"budget": -1}},
        {"params": {"x": {1}}},
        {"instructions": 5},
        {"metadata": {"a": object()}},
        {"metadata": 5},
        {"name": 5},
        {"base_url": 5},
        {"base_url": "https://h/v1?api-key=SECRET"},
        {"api_key": 5},
        {"tools": print},
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_stored(
    store: nbchat.Store, options: dict[str, Any]
) -> None:
    with pytest.raises(nbchat.ConfigError) as caught:
        nbchat.create_chat("openai/x", store=store, **options)

    assert "SECRET" not in str(caught.value)
    assert nbchat.list_chats(store=store).empty


@pytest.mark.parametrize("model", [5, "openai/", "gpt-4.1"])
def test_what_names_no_model_says_how_to_name_one(store: nbchat.Store, model: Any) -> None:
    with pytest.raises(nbchat.UnknownProvider, match="Write"):
        nbchat.create_chat(model, store=store)


def test_a_live_and_a_reloaded_chat_say_odd_instructions_alike(store: nbchat.Store) -> None:
    with ReplayServer("a", "b") as server:
        chat = nbchat.create_chat(
            "openai/x", base_url=server.url, store=store,
            instructions="a\ud800b", params={"user": "a\ud800b"},
        )  # fmt: skip
        chat.ask("hello")
        loaded = nbchat.load_chat(chat.id, store=store)
        assert loaded is not None
        loaded.ask("hello")
        live, reloaded = (request.json for request in server.requests)
    assert live["messages"][0] == reloaded["messages"][0]
    assert live["user"] == reloaded["user"]


def test_a_failing_with_model_changes_nothing(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("openai/x", base_url="http://127.0.0.1:9", store=store)
    with pytest.raises(nbchat.ConfigError):
        chat.with_model("anthropic/y", base_url="ftp:x")
    assert (chat.model, chat._settings.base_url) == ("openai/x", "http://127.0.0.1:9")


def test_an_async_stream_left_in_a_variable_ends_before_its_task_asks_again(
    store: nbchat.Store,
) -> None:
    held = threading.Event()

    def respond(request: Any) -> Any:
        yield "half"
        if len(request.messages) == 1:
            held.wait()
            yield " never"

    async def main() -> list[str]:
        stream = chat.aask_stream("one")
        async for _ in stream:
            break
        answer = await chat.aask("two")
        return [answer.content, str(stream is not None)]

    chat = nbchat.create_chat("function/x", respond=respond, store=store)
    assert asyncio.run(main())[0] == "half"
    held.set()
    assert [m.status for m in chat.messages()] == ["complete", "stopped", "complete", "complete"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_asks_a_chat_that_its_parent_streams(tmp_path: Path) -> None:
    code = """
    import os, sys, nbchat
    def respond(request):
        yield "half"
        yield "whole"
    chat = nbchat.create_chat("function/x", respond=respond, store=sys.argv[1])
    stream = chat.ask_stream("one")
    next(stream)
    list(stream)
    again = chat.ask_stream("two")
    child = os.fork()
    if child == 0:
        other = nbchat.create_chat("function/x", respond=respond, store=sys.argv[1])
        other.ask("from the child")
        del again
        os._exit(0)
    print(os.waitpid(child, 0)[1], "".join(event.content or "" for event in again))
    """
    # newer Pythons warn of every fork beside threads, which is what this is about
    python = [sys.executable, "-W", "ignore::DeprecationWarning", "-c"]
    run = subprocess.run(
        [*python, "\n".join(line[4:] for line in code.splitlines()), tmp_path / "c"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("0 halfwhole\n", "")
