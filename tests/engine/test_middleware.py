"""Middleware is an onion around a turn: what it gives back is what is sent, stored and told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows, stored_rows

import nbchat
from nbchat.exchange import Reply, Request, ToolSpec, Usage
from nbchat.hooks import MIDDLEWARE
from nbchat.messages import Text, Thinking, ToolCall
from nbchat.testing import ReplayServer, said, scripted

PROVIDERS = ("openai", "anthropic")


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def plain(store: nbchat.Store, *replies: Any, **more: Any) -> nbchat.Chat:
    return nbchat.create_chat("function/x", store=store, respond=scripted(replies), **more)


def at(server: ReplayServer, provider: str, store: nbchat.Store, **more: Any) -> nbchat.Chat:
    return nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store, **more)


ADD = ToolCall("add", {"a": 1, "b": 2}, "c1")


class Layer:
    """Notes all that passes it, and changes nothing."""

    def __init__(self, name: str, seen: list[Any]) -> None:
        self.name = name
        self.seen = seen

    def note(self, what: str, state: Any) -> None:
        self.seen.append((self.name, what))
        state.setdefault("path", []).append(self.name)

    def on_request(self, request: Request, state: Any) -> None:
        self.note("request", state)

    async def on_response(self, reply: Reply, state: Any) -> None:
        self.note("response", state)

    def on_error(self, error: Exception, about: Any, state: Any) -> None:
        self.note(f"error {type(about).__name__}", state)

    def on_tool_start(self, event: Any, state: Any) -> None:
        self.note("tool_start", state)

    def on_tool_end(self, event: Any, text: str, state: Any) -> None:
        self.note(f"tool_end {text}", state)


@pytest.mark.parametrize("way", WAYS)
def test_what_goes_out_passes_from_first_to_last_and_what_comes_back_the_other_way(
    way: str, store: nbchat.Store
) -> None:
    seen: list[Any] = []

    def fail() -> None:
        """Never works."""
        raise ValueError("no")

    chat = plain(
        store, nbchat.ServerError("down", status=503, retry_after_s=0.0), [ToolCall("fail")], "ok",
        tools=[fail], middleware=[Layer("outer", seen)],
    ).use(Layer("inner", seen))  # fmt: skip
    chat.on_request(lambda request: seen.append("hook"))
    chat.on_response(lambda reply: seen.append("hook"))
    assert WAYS[way](chat, "hello").error is None

    def out(what: str) -> list[Any]:
        return [("outer", what), ("inner", what)]

    def back(what: str) -> list[Any]:
        return [("inner", what), ("outer", what)]

    assert seen == [
        *out("request"), "hook", *back("error Request"), *out("request"), "hook",
        *back("response"), "hook", *out("tool_start"), *back("error ToolEndEvent"),
        *back("tool_end ValueError: no"), *out("request"), "hook", *back("response"), "hook",
    ]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_state_is_one_for_a_turn_and_another_for_the_next(way: str, store: nbchat.Store) -> None:
    states: list[Any] = []

    class First:
        def on_request(self, request: Request, state: Any) -> None:
            state["requests"] = state.get("requests", 0) + 1

        def on_response(self, reply: Reply, state: Any) -> None:
            states.append((dict(state), state.message_id, state.attempt.round))

    class Second:
        def on_request(self, request: Request, state: Any) -> None:
            state["doubled"] = 2 * state["requests"]
            assert (state.store, state.chat_id) == (store, chat.id)
            assert state.inputs == {"who": "me"}

    chat = plain(store, ADD, "3", "again", tools=[add], middleware=[First, Second()])
    WAYS[way](chat, "hello", inputs={"who": "me"})
    WAYS[way](chat, "hello", inputs={"who": "me"})
    first, second = [m.id for m in chat.messages() if m.role == "assistant"]
    assert states == [
        ({"requests": 1, "doubled": 2}, first, 1),
        ({"requests": 2, "doubled": 4}, first, 2),
        ({"requests": 1, "doubled": 2}, second, 1),
    ]


class Changing:
    """Asks something else, of another temperature, with one tool more."""

    def on_request(self, request: Request) -> Request:
        asked = replace(
            request.messages[-1], content="in other words", parts=(Text("in other words"),)
        )
        return replace(
            request,
            messages=(asked,),
            instructions="Be brief.",
            tools=(*request.tools, ToolSpec("more", "More.", {"type": "object", "properties": {}})),
            settings=replace(request.settings, temperature=0.5),
        )


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_a_changed_request_is_what_is_sent_and_the_question_stays_as_it_was(
    provider: str, way: str, store: nbchat.Store
) -> None:
    hooked: list[Request] = []
    with ReplayServer("fine") as server:
        chat = at(server, provider, store, tools=[add], middleware=[Changing()])
        assert WAYS[way](chat.on_request(hooked.append), "hello").error is None
    body = server.requests[0].json
    text = json.dumps(body)
    assert ("in other words" in text, "Be brief." in text, "hello" in text) == (True, True, False)
    assert (body["temperature"], len(body["tools"])) == (0.5, 2)
    assert [spec.name for spec in hooked[0].tools] == ["add", "more"]
    assert [m.content for m in chat.messages()] == ["hello", "fine"]


class Translating:
    """Says it in other words, thinking as before."""

    def on_response(self, reply: Reply) -> Reply:
        parts = tuple(
            Text(part.text.replace("raw", "cooked")) if isinstance(part, Text) else part
            for part in reply.parts
        )
        return replace(reply, parts=parts)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_changed_reply_is_what_is_stored_told_and_sent_from_then_on(
    provider: str, store: nbchat.Store
) -> None:
    rows = []
    for way in WAYS.values():
        with ReplayServer(
            said(Thinking("hm", "sig-1"), Text("a raw word"), ADD), said("raw 3"), said("bye")
        ) as server:
            chat = at(server, provider, store, tools=[add], middleware=[Translating()])
            ended = way(chat, "hello")
            assert ended.error is None
            assert ended.message is not None
            loaded = nbchat.load_chat(chat.id, store=store, tools=[add])
            assert loaded is not None
            loaded.ask("and now?")
        assert ended.message.content == "a cooked wordcooked 3" == chat.messages()[1].content
        for received in server.requests[1:]:
            sent = json.dumps(received.json["messages"])
            assert ("a cooked word" in sent, "raw" in sent, "sig-1" in sent) == (True, False, False)
        [call] = raw_rows(store, chat.id, "tool_calls")
        assert (call["status"], call["result"]) == ("ok", "3")
        stored = stored_rows(store, chat.id, ttft=False)
        assert "raw" not in json.dumps(
            stored["messages"][1]["parts"] + stored["messages"][1]["raw"]
        )
        rows.append(stored)
    assert rows == [rows[0]] * len(WAYS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_reply_whose_words_are_unchanged_is_replayed_block_for_block(
    provider: str, store: nbchat.Store
) -> None:
    class Counting:
        def on_response(self, reply: Reply) -> Reply:
            return replace(reply, usage=Usage(1, 1))

    sent = []
    for middleware in ([], [Counting()]):
        with ReplayServer(said(Thinking("hm", "sig-1"), Text("so"), ADD), said("3")) as server:
            at(server, provider, store, tools=[add], middleware=middleware).ask("hello")
        sent.append(server.requests[1].json)
    assert sent[0] == sent[1]
    assert ("sig-1" in json.dumps(sent[1])) == (provider == "anthropic")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_calls_that_middleware_drops_do_not_run_and_those_it_adds_do(
    provider: str, way: str, store: nbchat.Store
) -> None:
    ran: list[str] = []

    def good(word: str) -> str:
        """Do good."""
        ran.append(word)
        return word

    class Swapping:
        def on_response(self, reply: Reply) -> Reply:
            kept = [
                part for part in reply.parts if getattr(part, "arguments", {}) != {"word": "bad"}
            ]
            more = [ToolCall("good", {"word": "best"}, "c9")] if reply.tool_calls else []
            return replace(reply, parts=(*kept, *more))

    calls = [ToolCall("good", {"word": word}, f"c{word}") for word in ("bad", "fine")]
    with ReplayServer(said(*calls), said("done")) as server:
        chat = at(server, provider, store, tools=[good], middleware=[Swapping])
        assert WAYS[way](chat, "hello").error is None
    assert sorted(ran) == ["best", "fine"]
    rows = raw_rows(store, chat.id, "tool_calls")
    assert [(row["tool_call_id"], row["result"]) for row in rows] == [
        ("cfine", "fine"),
        ("c9", "best"),
    ]
    sent = json.dumps(server.requests[1].json["messages"])
    assert ["cbad" in sent, "cfine" in sent, "c9" in sent] == [False, True, True]


@pytest.mark.parametrize("way", WAYS)
def test_a_reply_left_without_its_calls_is_the_answer(way: str, store: nbchat.Store) -> None:
    class Without:
        def on_response(self, reply: Reply) -> Reply:
            return Reply((Text("I may not."),), usage=reply.usage)

    chat = plain(store, ["let me ", ADD], tools=[add], middleware=[Without()])
    ended = WAYS[way](chat, "hello")
    assert ended.message is not None
    assert (ended.message.content, ended.message.tool_calls) == ("I may not.", ())
    assert raw_rows(store, chat.id, "tool_calls") == []


@pytest.mark.parametrize("way", WAYS)
def test_what_a_tool_came_to_is_stored_told_and_shown_as_middleware_left_it(
    way: str, store: nbchat.Store
) -> None:
    class Shouting:
        def on_tool_end(self, event: Any, text: str, state: Any) -> str:
            return f"{text}!" if event.name == "add" else text.upper()

    def fail() -> None:
        """Never works."""
        raise ValueError("no")

    told: list[Any] = []
    script = scripted([[ADD, ToolCall("fail", {}, "c2")], "done"])
    chat = nbchat.create_chat("function/x", store=store, respond=script, tools=[add, fail],
                              middleware=[Shouting()])  # fmt: skip
    ended = WAYS[way](chat.on_tool_end(told.append), "hello")
    assert ended.error is None
    rows = raw_rows(store, chat.id, "tool_calls")
    expected = [("3!", None), (None, "VALUEERROR: NO")]
    assert [(row["result"], row["error"]) for row in rows] == expected
    assert [row["sent_chars"] for row in rows] == [2, None]
    shown = [event for event in ended.events if event.kind == "tool_end"]
    for events in (told, shown or told):
        assert {(event.result, event.error) for event in events} == set(expected)
    sent = [part for part in script.requests[1].messages[-1].parts if part.kind == "tool_result"]
    assert [part.content for part in sent] == ["3!", "VALUEERROR: NO"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["on_request", "on_response", "on_tool_start", "on_tool_end"])
def test_what_middleware_raises_ends_the_turn_and_reaches_the_caller(
    name: str, way: str, store: nbchat.Store
) -> None:
    oops = LookupError("no more")

    class Raising:
        pass

    def raising(*told: Any) -> None:
        raise oops

    setattr(Raising, name, staticmethod(raising))
    chat = plain(store, ["so ", ADD], "done", tools=[add], middleware=[Raising()])
    ended = WAYS[way](chat, "hello")
    assert ended.error is oops
    assert pending(store) == []
    last = chat.messages()[-1]
    said_before = "" if name == "on_request" else "so "
    assert (last.status, last.content) == ("stopped", said_before)
    assert last.error == {"type": "LookupError", "message": "no more"}
    answered = [] if name == "on_request" else [200]
    assert [row["status_code"] for row in raw_rows(store, chat.id, "requests")] == answered


@pytest.mark.parametrize("way", WAYS)
def test_middleware_that_gives_something_else_is_the_callers_mistake(
    way: str, store: nbchat.Store
) -> None:
    class Wrong:
        def on_request(self, request: Request) -> str:
            return "hello"

    ended = WAYS[way](plain(store, "hi", middleware=[Wrong()]), "hello")
    assert isinstance(ended.error, nbchat.ConfigError)
    assert "gave 'hello'. Give a Request, or None." in str(ended.error)


def test_only_objects_with_a_hook_are_middleware(store: nbchat.Store) -> None:
    class Nothing:
        on_request = "not callable"

    for wrong in (Nothing(), Nothing, object(), lambda request: request):
        with pytest.raises(nbchat.ConfigError, match=f"is no middleware.*{', '.join(MIDDLEWARE)}"):
            plain(store).use(wrong)
    for no_list in ("redact", {"on_request": print}, Layer("one", [])):
        with pytest.raises(nbchat.ConfigError, match="is not a list"):
            plain(store, middleware=no_list)


def test_an_on_store_that_is_async_is_refused(store: nbchat.Store) -> None:
    class Later:
        async def on_store(self, text: str) -> str:
            return text

    with pytest.raises(nbchat.ConfigError, match=r"on_store of .* cannot be async"):
        plain(store).use(Later())
