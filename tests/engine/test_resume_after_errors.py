"""A turn that an error ended goes on: what it had stays, whatever becomes of the rest."""

from pathlib import Path
from typing import Any

import pytest
from resuming import assert_sums, calls, function_chat, goes_on, half, requests, told
from turn_scripts import PATHS, Round, on_wire
from two_rounds import NAMES, QUESTION, assert_ended, marking, ran, respond

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Text, ToolCall
from nbchat.testing import Gate, ReplayServer

ONCE = {f"{QUESTION} {name}": 1 for name in NAMES}


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "ran.txt"


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_after_too_many_rounds_a_turn_gets_as_many_again_and_no_more(
    store: nbchat.Store, rounds: int
) -> None:
    runs: list[int] = []

    def again(number: int) -> str:
        """Once more."""
        runs.append(number)
        return "again"

    def forever(request: Any) -> Any:
        last = request.messages[-1]
        number = 1 if last.role == "user" else last.parts[-1].round + 1
        return ToolCall("again", {"number": number}, "c")

    chat = function_chat(store, forever, tools=[again], max_tool_rounds=rounds)
    with pytest.raises(nbchat.ToolRoundsExceeded):
        chat.ask("hello")
    for times in (2, 3):
        with pytest.raises(nbchat.ToolRoundsExceeded):
            chat.resume()
        assert runs == list(range(1, times * rounds + 1))
        assert requests(chat, "round") == [(n,) for n in range(1, times * rounds + 2)]
        assert calls(chat, "round", "attempt") == [(n, 1) for n in range(1, times * rounds + 1)]
        assert chat.messages()[-1].status == "stopped"


def test_rounds_that_were_granted_are_still_when_going_on_was_interrupted(
    store: nbchat.Store,
) -> None:
    runs: list[str] = []

    def note(name: str) -> str:
        """Note it."""
        runs.append(name)
        if name == "c" and runs.count("c") == 1:
            chat.stop()
        return name

    replies = [ToolCall("note", {"name": name}, name) for name in "abcd"]
    chat = function_chat(store, [*replies, "end"], tools=[note], max_tool_rounds=2)
    with pytest.raises(nbchat.ToolRoundsExceeded):
        chat.ask("hello")
    assert chat.resume().status == "stopped"
    assert runs == ["a", "b", "c"]
    assert chat.resume().content == "end"
    assert runs == ["a", "b", "c", "c", "d"]


def test_a_fatal_tool_error_ends_the_turn_and_it_can_go_on(store: nbchat.Store) -> None:
    def explode() -> None:
        """Ends everything."""
        raise nbchat.ToolError("exploded", fatal=True)

    chat = function_chat(store, [["so ", ToolCall("explode", {}, "c1")], "done"], tools=[explode])
    with pytest.raises(nbchat.ToolError):
        chat.ask("hello")
    assert chat.messages()[-1].error == {"type": "ToolError", "message": "exploded"}
    message = chat.resume()
    assert (message.status, message.content, message.error) == ("complete", "so done", None)
    assert calls(chat, "status", "error", "attempt") == [("error", "exploded", 1)]


@pytest.mark.parametrize("kind", ["request", "response", "tool_start", "tool_end"])
def test_a_hook_that_raised_ends_the_turn_and_it_can_go_on(
    store: nbchat.Store, log: Path, kind: str
) -> None:
    raised: list[str] = []

    def hook(*given: Any) -> None:
        if not raised:
            raised.append(kind)
            raise ValueError(kind)

    chat = function_chat(store, respond, tools=[marking(log)])
    getattr(chat, f"on_{kind}")(hook)
    with pytest.raises(ValueError, match=kind):
        chat.ask(QUESTION)
    left = chat.messages()[-1]
    assert (left.status, left.error) == ("stopped", {"type": "ValueError", "message": kind})
    message = chat.resume()
    if kind == "tool_start":  # the call that it kept from running has that for its result
        assert (message.status, message.error) == ("complete", None)
        assert sorted(ran(log).values()) == [1, 1, 1]
    else:
        assert_ended(message)
        assert ran(log) == ONCE
    assert_sums(chat)


def test_a_budget_that_was_raised_lets_the_turn_go_on(store: nbchat.Store) -> None:
    with ReplayServer("fine") as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, store=store)
        chat.use(nbchat.budget(usd=0))
        with pytest.raises(nbchat.BudgetExceeded):
            chat.ask("hello")
        assert [m.status for m in chat.messages()] == ["complete", "stopped"]
        assert requests(chat, "id") == []
        again = nbchat.load_chat(chat.id, store=store)
        assert again is not None
        assert again.resume().content == "fine"
        assert server.requests[-1].json["messages"] == [{"role": "user", "content": "hello"}]
    assert told(chat) == [("user", "complete", "hello"), ("assistant", "complete", "fine")]


@pytest.mark.parametrize("provider", PATHS)
def test_a_provider_error_keeps_what_was_there(store: nbchat.Store, provider: str) -> None:
    script = [
        Round((Text("so "), ToolCall("stop", {}, "c1")), Usage(10, 5)),
        Round((), Usage(), "refused"),
        Round((Text("half"),), Usage(), "cut"),
        Round((Text("done"),), Usage(20, 6)),
    ]
    with ReplayServer(*on_wire(script)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)

        def stop() -> str:
            """Stop once."""
            runs.append("stop")
            if len(runs) == 1:
                chat.stop()
            return "stopped"

        runs: list[str] = []
        chat.with_tool(stop)
        assert chat.ask("hello").status == "stopped"
        left = chat.messages()[-1]
        for kind, text in ((nbchat.BadRequest, "so "), (nbchat.ProviderError, "so half")):
            with pytest.raises(kind) as caught:
                chat.resume()
            assert caught.value.partial == text
            message = chat.messages()[-1]
            assert (message.id, message.status, message.content) == (left.id, "stopped", text)
            assert message.error is not None
            assert message.error["type"] == type(caught.value).__name__
        assert chat.resume().content == "so done"
    assert requests(chat, "round", "status_code")[:2] == [(1, 200), (2, 400)]
    assert_sums(chat)


def test_a_provider_error_keeps_the_text_of_a_reply_that_was_cut_off(store: nbchat.Store) -> None:
    gate = Gate()
    chat = function_chat(store, lambda request: half(gate))
    stream = chat.ask_stream("hello")
    next(stream)
    stream.close()
    gate.open()
    goes_on(chat, [nbchat.BadRequest("no", status=400), ["whole", Usage(1, 1)]])
    with pytest.raises(nbchat.BadRequest):
        chat.resume()
    assert told(chat) == [("user", "complete", "hello"), ("assistant", "stopped", "half ")]
    assert chat.messages()[-1].error == {"type": "BadRequest", "message": "no"}
    assert chat.resume().content == "whole"
    assert_sums(chat)


def test_an_answer_that_a_tool_gave_stands_when_the_turn_was_stopped_before_its_end(
    store: nbchat.Store,
) -> None:
    def finish(answer: str) -> None:
        """The answer."""
        raise nbchat.Halt(answer)

    call = ["so ", ToolCall("finish", {"answer": "it is 3"}, "c1"), Usage(10, 5)]
    chat = function_chat(store, [call], tools=[finish])
    chat.on_tool_end(lambda event: chat.stop())
    assert chat.ask("hello").status == "stopped"
    message = chat.resume()
    assert (message.status, message.content) == ("complete", "it is 3")
    assert chat.messages()[-1] == message
    assert calls(chat, "status", "result", "attempt") == [("ok", "it is 3", 1)]
    assert requests(chat, "round") == [(1,)]


def test_a_forgotten_tool_is_said_and_its_call_is_not_lost(store: nbchat.Store) -> None:
    @nbchat.tool(policy="confirm")
    def remove(path: str) -> str:
        """Remove a file."""
        return "removed"

    call = ToolCall("remove", {"path": "a"}, "c1")
    chat = function_chat(store, [[call], "done"], tools=[remove], confirm="later")
    chat.ask("hello")
    chat.approve(chat.approvals()[0].call_id)
    bare = nbchat.load_chat(chat.id, store=store, respond=chat._own.respond)
    assert bare is not None
    with pytest.raises(nbchat.NbchatError, match=r"remove, which is not among .* tools="):
        bare.resume()
    assert chat.resume().content == "done"
    assert calls(chat, "status", "result", "attempt") == [("ok", "removed", 1)]
