"""One turn, asked in four ways, is the same rows; a reloaded chat sends the same bytes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS, Ended
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_rows import pending, stored_rows
from turn_scripts import MAX_TOOL_ROUNDS, PATHS, TOOLS, Round, in_process, on_wire, turns

import nbchat
from nbchat.testing import Answer, ReplayServer, scripted

PROVIDERS = (*PATHS, "function")
MODERATE = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SAME = ("role", "status", "content", "thinking_text", "turn", "seq", "finish_reason")


@dataclass
class Stage:
    """A server and a store for all examples of a test."""

    server: ReplayServer
    store: nbchat.Store

    def chat(self, provider: str, script: list[Round]) -> nbchat.Chat:
        options: dict[str, Any] = {"base_url": self.server.url}
        if provider == "function":
            options = {"respond": scripted(in_process(script))}
        else:
            self.server._answers.clear()
            self.server.add(*on_wire(script))
        return nbchat.create_chat(
            f"{provider}/x", store=self.store, tools=TOOLS, max_tool_rounds=MAX_TOOL_ROUNDS,
            instructions="Be brief.", **options,
        )  # fmt: skip


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ReplayServer() as server:
        yield Stage(server, nbchat.open_store(tmp_path / "chats.duckdb"))


def assert_consistent(chat: nbchat.Chat, ended: Ended, way: str) -> None:
    messages = chat.messages()
    if ended.message is not None:
        assert ended.error is None
        assert ended.message == messages[-1]
    if isinstance(ended.error, nbchat.ProviderError):
        assert messages[-1].error is not None
        assert ended.error.partial == messages[-1].error["partial"]
    halted = ended.message is not None and any(
        call.name == "finish" for call in ended.message.tool_calls
    )
    if "stream" in way and not halted:
        last = messages[-1]
        failed = last.error["partial"] if last.role == "user" and last.error else last.content
        assert ended.text == failed


@MODERATE
@given(script=turns())
def test_four_ways_of_asking_store_identical_rows(stage: Stage, script: list[Round]) -> None:
    told = {}
    for provider in PROVIDERS:
        rows = {}
        for way, run in WAYS.items():
            chat = stage.chat(provider, script)
            ended = run(chat, "hello")
            assert_consistent(chat, ended, way)
            rows[way] = stored_rows(stage.store, chat.id, ttft=False), type(ended.error)
        assert pending(stage.store) == []
        for way in WAYS:
            assert rows[way] == rows["ask"]
        stored, error = rows["ask"]
        told[provider] = (
            error,
            [[row[name] for name in SAME] for row in stored["messages"]],
            [(row["name"], row["status"], row["result"]) for row in stored["tool_calls"]],
            [(row["round"], row["attempt"], row["status_code"]) for row in stored["requests"]],
        )
    assert told["openai"] == told["anthropic"] == told["function"]


NEXT_BYTES = """
import json, sys
import nbchat
from turn_scripts import TOOLS
path, chat_id = sys.argv[1:]
chat = nbchat.load_chat(chat_id, store=path, tools=TOOLS)
try:
    chat.ask("what next?")
except nbchat.BadRequest:
    pass
"""


def next_bytes(stage: Stage, chat: nbchat.Chat) -> bytes:
    """What the chat sends next, by a turn that fails and so is never sent again."""
    stage.server._answers.clear()
    stage.server.add(Answer(400, {}, b"no"))
    with pytest.raises(nbchat.BadRequest):
        chat.ask("what next?")
    return stage.server.requests[-1].body


def bytes_of_a_fresh_process(stage: Stage, chat: nbchat.Chat) -> bytes:
    stage.server._answers.clear()
    stage.server.add(Answer(400, {}, b"no"))
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    subprocess.run(
        [sys.executable, "-c", NEXT_BYTES, stage.store.path, chat.id],
        env={**os.environ, "PYTHONPATH": path}, check=True, timeout=60,
    )  # fmt: skip
    return stage.server.requests[-1].body


def sent_messages(body: bytes) -> list[Any]:
    return list(json.loads(body)["messages"])


def assert_well_formed(messages: list[Any]) -> None:
    """Every call is answered right after it, as both APIs demand."""
    for place, message in enumerate(messages):
        asked = [call["id"] for call in message.get("tool_calls", [])]
        if isinstance(message["content"], list):
            asked = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        assert len(set(asked)) == len(asked)
        if not asked:
            continue
        after = messages[place + 1 :]
        if "tool_calls" in message:
            answered = [given["tool_call_id"] for given in after[: len(asked)]]
        else:
            answered = [
                block["tool_use_id"] for block in after[0]["content"]
                if block["type"] == "tool_result"
            ]  # fmt: skip
        assert answered == asked


@MODERATE
@given(
    scripts=st.lists(turns(), min_size=1, max_size=3),
    way=st.sampled_from(list(WAYS)),
    question=st.sampled_from(["hello", "Grüße 🙂", "half \ud83d character"]),
)
@pytest.mark.parametrize("provider", PATHS)
def test_a_live_chat_and_a_reloaded_one_send_the_same_bytes(
    stage: Stage, provider: str, scripts: list[list[Round]], way: str, question: str
) -> None:
    chat = stage.chat(provider, [])
    for script in scripts:
        stage.server._answers.clear()
        stage.server.add(*on_wire(script))
        began = len(stage.server.requests)
        WAYS[way](chat, question)
        sent = [sent_messages(request.body) for request in stage.server.requests[began:]]
        for before, after in pairwise(sent):
            assert after[: len(before)] == before  # a round only adds
        live = next_bytes(stage, chat)
        reloaded = nbchat.load_chat(chat.id, store=stage.store, tools=TOOLS)
        assert reloaded is not None
        assert next_bytes(stage, reloaded) == live
        now = sent_messages(live)
        assert_well_formed(now)
        if chat.messages()[-2].role == "assistant":  # the turn did not fail
            assert now[: len(sent[-1])] == sent[-1]  # what the model saw is what is stored


@settings(MODERATE, max_examples=3)
@given(script=turns())
@pytest.mark.parametrize("provider", PATHS)
def test_a_fresh_process_sends_the_same_bytes(
    stage: Stage, provider: str, script: list[Round]
) -> None:
    chat = stage.chat(provider, script)
    WAYS["ask_stream"](chat, "hello")
    live = next_bytes(stage, chat)
    assert bytes_of_a_fresh_process(stage, chat) == live
