"""Recorded tool loops of many providers run through a whole chat as they once ran.

The recorded answers are played byte for byte, streams cut at random places, the recorded
results come out of real tools, and what nbchat sends and stores is held against the recording.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from four_ways import WAYS, Ended
from recorded_loops import (
    RECORDED,
    Conversation,
    Exchange,
    call_ids,
    described,
    entries_of,
    recorded_loops,
    result_ids,
)
from stored_rows import pending, raw_rows

import nbchat
from nbchat.events import ToolEndEvent, ToolStartEvent
from nbchat.messages import text_of
from nbchat.providers import provider_names
from nbchat.testing import Answer, ReplayServer

OF_THE_WAY = ("connection", "keep-alive", "content-length", "content-encoding", "transfer-encoding")
CARRIED = ("reasoning", "reasoning_content", "reasoning_details")
SPEND = ("input_tokens", "output_tokens", "cached_input_tokens")
ANOTHER = "And what follows from that?"


@dataclass
class Replay:
    """A conversation, the chat it runs in, and the server that plays its answers."""

    conversation: Conversation
    way: str
    server: ReplayServer
    chat: nbchat.Chat

    def run(self) -> Iterator[tuple[Ended, list[Exchange]]]:
        """Turn by turn how it ended, and the exchanges it was made of."""
        for question, exchanges in self.conversation.turns:
            self.server.add(*(as_recorded(exchange, self.way) for exchange in exchanges))
            yield WAYS[self.way](self.chat, question), exchanges

    def sent(self) -> list[Any]:
        return [request.json for request in self.server.requests]

    def rows(self, table: str, turn: int) -> list[dict[str, Any]]:
        rows = raw_rows(self.chat.store, self.chat.id, table)
        return [row for row in rows if row["turn"] == turn]

    def next_bytes(self, chat: nbchat.Chat) -> bytes:
        """What a chat sends next, by a turn that fails and so is never sent again."""
        self.server.add(Answer(400, {}, b"no"))
        with pytest.raises(nbchat.BadRequest):
            chat.ask(ANOTHER)
        return self.server.requests[-1].body


def as_recorded(exchange: Exchange, seed: str) -> Answer:
    """The very bytes; a stream comes in pieces."""
    recording = exchange.recording
    headers = {name: value for name, value in recording.headers if name not in OF_THE_WAY}
    body = list(recording.cuts(seed)) if recording.streamed else recording.body
    return Answer(recording.status, headers, body)


def model_of(conversation: Conversation) -> str:
    known = conversation.first.provider in {*provider_names()} - {"local", "function"}
    provider = conversation.first.provider if known else "openai"
    return f"{provider}/{conversation.exchanges[0].request['model']}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nbchat.Store]:
    with nbchat.open_store(tmp_path_factory.mktemp("loops") / "chats.duckdb") as opened:
        yield opened


@pytest.mark.parametrize("way", ["ask", "ask_stream"])
@pytest.mark.parametrize(
    "conversation", recorded_loops().conversations, ids=lambda found: found.first.path
)
def test_a_recorded_loop_runs_as_it_once_ran(
    conversation: Conversation, way: str, store: nbchat.Store
) -> None:
    with ReplayServer() as server:
        chat = nbchat.create_chat(
            model_of(conversation), store=store, base_url=server.url, api_key="k",
            instructions=conversation.instructions, tools=conversation.tools(),
        )  # fmt: skip
        replay = Replay(conversation, way, server, chat)
        for turn, (ended, exchanges) in enumerate(replay.run(), start=1):
            assert ended.error is None
            assert_answered(replay, ended, exchanges)
            assert_stored(replay, turn, exchanges)
        assert_sent(replay)
        assert_goes_on(replay)
    assert pending(store, chat.id) == []


def assert_answered(replay: Replay, ended: Ended, exchanges: list[Exchange]) -> None:
    """The message says what all rounds said, and counts what they counted."""
    message, last = ended.message, exchanges[-1].said
    assert message is not None
    assert message == replay.chat.messages()[-1]
    assert message.status == "complete"
    assert message.finish_reason == last.finish_reason
    assert message.content == "".join(exchange.said.text for exchange in exchanges)
    assert message.content == text_of(message.parts)
    for name in SPEND:
        known = [spent(exchange)[name] for exchange in exchanges]
        assert getattr(message, name) == (None if None in known else sum(map(int, known)))
    called = [call for exchange in exchanges for call in exchange.said.calls]
    assert [(call.tool_call_id, call.name, call.arguments) for call in message.tool_calls] == called
    if replay.way == "ask_stream":
        begun = [event for event in ended.events if isinstance(event, ToolStartEvent)]
        finished = [event for event in ended.events if isinstance(event, ToolEndEvent)]
        texts = [event.content or "" for event in ended.events if event.kind == "text"]
        assert "".join(texts) == message.content
        assert [(event.tool_call_id, event.name, event.arguments) for event in begun] == called
        assert len(finished) == len(called)


def spent(exchange: Exchange) -> dict[str, int | None]:
    """The recorded usage in the contract's words."""
    usage = exchange.said.usage
    if not usage:
        return dict.fromkeys(SPEND)
    if exchange.recording.endpoint == "messages":
        read, written = (usage.get(f"cache_{name}_input_tokens") for name in ("read", "creation"))
        total = usage["input_tokens"] + (read or 0) + (written or 0)
        return dict(zip(SPEND, (total, usage["output_tokens"], read), strict=True))
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))
    # thinking that a server counts apart is in its total, or else it is more than was said
    out = usage["total_tokens"] - usage["prompt_tokens"]
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    out += thought if thought > out else 0
    return dict(zip(SPEND, (usage["prompt_tokens"], out, cached), strict=True))


def assert_stored(replay: Replay, turn: int, exchanges: list[Exchange]) -> None:
    """A row for every exchange of the turn and one for every call, in order."""
    requests, calls = replay.rows("requests", turn), replay.rows("tool_calls", turn)
    places = [(row["round"], row["attempt"], row["status_code"]) for row in requests]
    assert places == [(number, 1, 200) for number in range(1, len(exchanges) + 1)]
    for row, exchange in zip(requests, exchanges, strict=True):
        assert {name: row[name] for name in SPEND} == spent(exchange)
        assert json.loads(row["usage"] or "{}") == exchange.said.usage
        assert row["answered_model"] == exchange.said.model
        assert row["finish_reason"] == exchange.said.finish_reason

    assert [
        (row["round"], row["seq"], row["tool_call_id"], row["name"], json.loads(row["arguments"]))
        for row in calls
    ] == [
        (number, seq, *call)
        for number, exchange in enumerate(exchanges, start=1)
        for seq, call in enumerate(exchange.said.calls, start=1)
    ]
    assert {row["status"] for row in calls} <= {"ok"}
    earlier = len(exchanges[0].results)
    assert [row["result"] for row in calls] == exchanges[-1].results[earlier:]


def assert_sent(replay: Replay) -> None:
    """Every request says what the recorded one said, in the order it said it."""
    exchanges = replay.conversation.exchanges
    sent = replay.sent()
    assert len(sent) == len(exchanges)
    for before, after in pairwise(sent):
        assert after["messages"][: len(before["messages"])] == before["messages"]
    for number, (request, exchange) in enumerate(zip(sent, exchanges, strict=True)):
        earlier = [known.said for known in exchanges[:number]]
        assert request.get("stream", False) == (replay.way == "ask_stream")
        assert list(entries_of(request)) == exchange.entries
        tools = exchanges[0].request["tools"]
        assert list(map(described, request["tools"])) == list(map(described, tools))
        ids = call_ids(request)
        assert ids == result_ids(request)
        assert ids == [call_id for said in earlier for call_id, *_ in said.calls]
        again = [message for message in request["messages"] if message["role"] == "assistant"]
        for message, said in zip(again, earlier, strict=True):
            assert_goes_back(replay.conversation, message, said)


def assert_goes_on(replay: Replay) -> None:
    """The next question follows what was sent before and the last answer, also after a reload."""
    before = replay.sent()[-1]["messages"]
    last = replay.conversation.exchanges[-1].said
    live = replay.next_bytes(replay.chat)
    reloaded = nbchat.load_chat(
        replay.chat.id, store=replay.chat.store, api_key="k", tools=replay.conversation.tools()
    )
    assert reloaded is not None
    assert replay.next_bytes(reloaded) == live

    now = json.loads(live)["messages"]
    assert now[: len(before)] == before
    *answer, question = now[len(before) :]
    assert question == {"role": "user", "content": ANOTHER}
    if last.text:
        [message] = answer
        assert message["role"] == "assistant"
        assert_goes_back(replay.conversation, message, last)
    else:  # thought and never said: servers refuse a message without words
        assert answer == []


def assert_goes_back(conversation: Conversation, message: dict[str, Any], said: Any) -> None:
    """A round goes back as it was said: Anthropic's blocks as they are, but for blank texts."""
    if conversation.first.endpoint == "messages":
        assert message["content"] == [
            block for block in said.message if block.get("text", "x").strip()
        ]
        return
    assert message["content"] == said.text
    for name in CARRIED:
        assert message.get(name) == said.message.get(name)


@pytest.mark.skipif(
    not RECORDED.exists(),
    reason=f"no recordings at {RECORDED.parent}; NBCHAT_FIXTURES names the folder",
)
def test_the_recordings_hold_loops_of_many_providers() -> None:
    found = recorded_loops()

    print(f"{found.loops} loops of {sorted(found.providers)}; left out: {dict(found.left_out)}")
    assert len(found.providers) >= 16
    assert found.loops >= 43
    assert found.left_out == {
        "its request is not kept": 90,
        "more than results follows the calls": 3,
        "it holds more than text": 3,
    }
