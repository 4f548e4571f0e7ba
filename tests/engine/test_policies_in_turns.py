"""A dry run shows what a model would do: the proposals are stored and nothing of them runs."""

from collections.abc import Callable
from typing import Any

import pytest
from four_ways import STREAMED, WAYS
from stored_rows import ASSISTANT, REQUEST, TOOL_CALL, USER, pending, raw_rows, stored_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, said, scripted

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
CALLS = [ToolCall("look", {"what": "x"}, "c1"), ToolCall("delete", {"what": "y"}, "c2")]
PROPOSED = {
    **TOOL_CALL, "name": "look", "arguments": {"what": "x"}, "status": "proposed", "result": None,
    "duration_ms": None, "full_chars": None, "sent_chars": None,
}  # fmt: skip
LOOKED = {
    **TOOL_CALL, "name": "look", "arguments": {"what": "x"}, "result": "look x", "full_chars": 6,
    "sent_chars": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> nbchat.Store:
    return nbchat.open_store(tmp_path_factory.mktemp("store") / "chats.duckdb")


@pytest.fixture(params=PATHS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def tools(ran: list[str]) -> list[Callable[[str], str]]:
    def look(what: str) -> str:
        """Look at something."""
        ran.append(f"look {what}")
        return f"look {what}"

    def delete(what: str) -> str:
        """Delete something."""
        ran.append(f"delete {what}")
        return f"delete {what}"

    return [look, delete]


def chat_of(store: nbchat.Store, *replies: Any, **options: Any) -> nbchat.Chat:
    return nbchat.create_chat("function/x", respond=scripted(replies), store=store, **options)


def statuses(chat: nbchat.Chat) -> list[tuple[str, str]]:
    rows = raw_rows(chat.store, chat.id, "tool_calls")
    return [(row["name"], row["status"]) for row in rows]


@pytest.mark.parametrize("way", WAYS)
def test_a_dry_run_makes_one_request_and_stores_what_the_model_proposes(
    way: str, store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    chat = chat_of(store, ["so ", *CALLS], tools=tools, tool_policy="dry_run")
    ended = WAYS[way](chat, "hello")
    assert ended.error is None
    assert ended.message is not None
    message = ended.message
    assert (message.status, message.content, message.finish_reason) == (
        "complete", "so ", "tool_calls",
    )  # fmt: skip
    assert [(call.name, call.arguments) for call in message.tool_calls] == [
        ("look", {"what": "x"}), ("delete", {"what": "y"}),
    ]  # fmt: skip
    assert ran == []
    assert pending(store, chat.id) == []
    call_part = {"kind": "tool_call", "round": 1}
    assert stored_rows(store, chat.id, ttft=False) == {
        "messages": [
            USER,
            {**ASSISTANT, "content": "so ", "finish_reason": "tool_calls", "parts": [
                {"kind": "text", "text": "so ", "round": 1},
                {**call_part, "name": "look", "arguments": {"what": "x"}, "tool_call_id": "c1"},
                {**call_part, "name": "delete", "arguments": {"what": "y"}, "tool_call_id": "c2"},
            ]},
        ],
        "tool_calls": [
            PROPOSED,
            {**PROPOSED, "seq": 2, "tool_call_id": "c2", "name": "delete",
             "arguments": {"what": "y"}},
        ],
        "requests": [
            {key: value for key, value in REQUEST.items() if key != "ttft_ms"}
            | {"finish_reason": "tool_calls"}
        ],
    }  # fmt: skip


@pytest.mark.parametrize("way", STREAMED)
def test_a_stream_tells_of_proposals_as_calls_that_did_not_run(
    way: str, store: nbchat.Store, tools: list[Any]
) -> None:
    chat = chat_of(store, CALLS, tools=tools, tool_policy="dry_run")
    ended = WAYS[way](chat, "hello")
    ends = [event for event in ended.events if event.kind == "tool_end"]
    assert [(end.name, end.status, end.result, end.duration_ms) for end in ends] == [
        ("look", "proposed", None, None), ("delete", "proposed", None, None),
    ]  # fmt: skip
    assert ended.events[-1].message == chat.messages()[-1]


@pytest.mark.parametrize("way", WAYS)
def test_in_a_mixed_round_what_may_run_runs_and_what_is_proposed_does_not(
    way: str, store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    calls = [CALLS[1], CALLS[0], ToolCall("delete", {}, "c3"), ToolCall("nobody", {}, "c4")]
    chat = chat_of(store, calls, tools=tools, tool_policy={"delete": "dry_run"})
    ended = WAYS[way](chat, "hello")
    assert ended.message is not None
    assert ended.message.status == "complete"
    assert ran == ["look x"]
    assert statuses(chat) == [
        ("delete", "proposed"), ("look", "ok"), ("delete", "invalid"), ("nobody", "unknown_tool"),
    ]  # fmt: skip
    results = [part.content for part in ended.message.parts if part.kind == "tool_result"]
    assert results[0] == "look x"
    assert len(results) == 3
    assert len(raw_rows(store, chat.id, "requests")) == 1


def test_stats_count_proposals_among_the_tool_calls(store: nbchat.Store, tools: list[Any]) -> None:
    chat = chat_of(store, CALLS, tools=tools, tool_policy={"delete": "dry_run"})
    chat.ask("hello")
    assert chat.stats().loc[0, ["turns", "requests", "tool_calls"]].tolist() == [1, 1, 2]
    by_tool = chat.stats(by="tool").set_index("tool")["tool_calls"]
    assert by_tool.to_dict() == {"delete": 1, "look": 1}


def test_the_next_ask_says_on_the_wire_that_a_proposal_has_no_result(
    provider: str, store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    with ReplayServer(said("so ", *CALLS), "fine") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, store=store, tools=tools, tool_policy="dry_run"
        )
        chat.ask("hello")
        assert len(server.requests) == 1
        assert chat.ask("go on").content == "fine"
        sent = server.requests[1].json["messages"]
    results = sent[2:-1] if provider == "openai" else sent[2]["content"]
    assert [result["content"] for result in results[:2]] == ["result unavailable"] * 2
    assert statuses(chat) == [("look", "proposed"), ("delete", "proposed")]
    assert ran == []


BOTH, DELETE, NONE = [], ["look x"], ["look x", "delete y"]


@pytest.mark.parametrize(
    ("policies", "runs"),
    [
        (("dry_run", None, None), DELETE),  # the tool's own
        ((None, "dry_run", None), BOTH),  # the chat's, for all
        ((None, {"*": "dry_run"}, None), BOTH),
        ((None, {"*": "dry_run", "look": "auto"}, None), DELETE),
        ((None, {"delete": "dry_run"}, None), DELETE),
        (("dry_run", {"delete": "auto"}, None), NONE),  # the chat's word about one tool wins
        (("dry_run", "auto", None), DELETE),  # else the stricter
        (("dry_run", {"*": "auto"}, None), DELETE),
        (("auto", "dry_run", None), BOTH),
        ((None, None, "dry_run"), BOTH),  # one ask's
        ((None, None, {"delete": "dry_run"}), DELETE),
        ((None, "dry_run", "auto"), NONE),
        (("dry_run", None, {"delete": "auto"}), NONE),
    ],
)
def test_who_says_so_decides_what_is_proposed(
    policies: tuple[Any, Any, Any],
    runs: list[str],
    store: nbchat.Store,
    tools: list[Any],
    ran: list[str],
) -> None:
    of_tool, of_chat, of_ask = policies
    made = [tools[0], nbchat.tool(tools[1], policy=of_tool)]
    chat = chat_of(store, CALLS, "done", tools=made, tool_policy=of_chat, tool_concurrency=1)
    chat.ask("hello", tool_policy=of_ask)
    assert ran == runs
    assert [name for name, status in statuses(chat) if status == "ok"] == [
        name.split()[0] for name in runs
    ]


def test_a_policy_of_one_ask_is_forgotten_after_it(
    store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    chat = chat_of(store, CALLS[:1], CALLS[:1], "done", tools=tools)
    chat.ask("hello", tool_policy="dry_run")
    assert ran == []
    assert chat.ask("again").content == "done"
    assert ran == ["look x"]


def test_a_chats_policy_is_stored(store: nbchat.Store, tools: list[Any], ran: list[str]) -> None:
    chat = chat_of(store).with_policy({"delete": "dry_run"})
    loaded = nbchat.load_chat(chat.id, store=store, tools=tools, respond=scripted([CALLS]))
    assert loaded is not None
    loaded.ask("hello")
    assert ran == ["look x"]


@pytest.mark.parametrize("policy", ["never", 1, {"look": "never"}, ["dry_run"]])
def test_a_policy_that_is_none_is_refused_before_anything_is_asked(
    policy: Any, store: nbchat.Store, tools: list[Any]
) -> None:
    chat = chat_of(store, "never", tools=tools)
    with pytest.raises(nbchat.NbchatError, match=r"is not a policy. Give 'auto'"):
        chat.with_policy(policy)
    with pytest.raises(nbchat.NbchatError, match=r"is not a policy. Give 'auto'"):
        chat.ask("hello", tool_policy=policy)
    assert chat.messages() == []


def test_resume_runs_the_proposals_once_they_may_run(
    provider: str, store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    with ReplayServer(said("so ", *CALLS), "done") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, store=store, tools=tools, tool_policy="dry_run"
        )
        proposed = chat.ask("hello")
        message = chat.with_policy("auto").resume()
        sent = server.requests[1].json["messages"]
    assert sorted(ran) == ["delete y", "look x"]
    assert (message.id, message.status, message.content) == (proposed.id, "complete", "so done")
    results = sent[2:] if provider == "openai" else sent[2]["content"]
    assert [result["content"] for result in results] == ["look x", "delete y"]
    rows = raw_rows(store, chat.id, "tool_calls")
    assert sorted((row["seq"], row["attempt"], row["status"]) for row in rows) == [
        (1, 1, "proposed"), (1, 2, "ok"), (2, 1, "proposed"), (2, 2, "ok"),
    ]  # fmt: skip
    with pytest.raises(nbchat.NbchatError, match="nothing to resume"):
        chat.resume()


def test_resume_of_a_mixed_round_runs_only_what_was_proposed(
    store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    chat = chat_of(store, CALLS, "done", tools=tools, tool_policy={"delete": "dry_run"})
    chat.ask("hello")
    assert chat.resume(tool_policy="auto").content == "done"
    assert ran == ["look x", "delete y"]
    looked, *_ = stored_rows(store, chat.id)["tool_calls"]
    assert looked == LOOKED


def test_resume_in_a_dry_run_proposes_nothing_anew(
    store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    chat = chat_of(store, CALLS, tools=tools, tool_policy="dry_run")
    before = chat.ask("hello")
    rows = raw_rows(store, chat.id, "tool_calls")
    assert chat.resume().parts == before.parts
    assert raw_rows(store, chat.id, "tool_calls") == rows
    assert ran == []


def test_who_confirms_may_change_without_loosening_the_policy(
    store: nbchat.Store, tools: list[Any], ran: list[str]
) -> None:
    chat = chat_of(store, CALLS, CALLS, "done", tools=tools).with_policy("dry_run")
    chat.with_policy(confirm=lambda call: True)
    chat.ask("hello")
    assert ran == []
    chat.with_policy(None).ask("again")
    assert sorted(ran) == ["delete y", "look x"]
