"""A call that needs approval runs if somebody agreed, once, and the model is told if nobody did."""

import threading
from typing import Any

import pytest
from four_ways import WAYS, Ended
from stored_rows import TOOL_CALL, pending, raw_rows, stored_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, said, scripted

CANCEL = ToolCall("cancel", {"order": 1}, "c1")
CANCELLED = {
    **TOOL_CALL, "name": "cancel", "arguments": {"order": 1}, "result": "cancelled 1",
    "full_chars": 11, "sent_chars": 11, "decided_at": "a time",
}  # fmt: skip
NOT_RUN = {
    **CANCELLED, "status": "denied", "approval": "denied", "result": None, "full_chars": None,
    "sent_chars": None, "duration_ms": None,
}  # fmt: skip
DENIED = "The user did not approve this call, so it was not run."
NOBODY = "This call needs somebody's approval, and nobody is here to give it, so it was not run."

ran: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> nbchat.Store:
    return nbchat.open_store(tmp_path_factory.mktemp("store") / "chats.duckdb")


@nbchat.tool(policy="confirm")
def cancel(order: int) -> str:
    """Cancel an order."""
    ran.append(order)
    return f"cancelled {order}"


@nbchat.tool(policy="confirm")
def refund(order: int) -> str:
    """Pay an order back."""
    ran.append(-order)
    return f"paid back {order}"


def look() -> str:
    """Look at the orders."""
    ran.append(0)
    return "looked"


TOOLS = [cancel, refund, look]


def chat_of(store: nbchat.Store, *replies: Any, **options: Any) -> nbchat.Chat:
    options = {"tools": TOOLS, **options}
    return nbchat.create_chat("function/x", respond=scripted(replies), store=store, **options)


def again(chat: nbchat.Chat, *replies: Any, **options: Any) -> nbchat.Chat:
    """The chat as another notebook has it."""
    loaded = nbchat.load_chat(
        chat.id, store=chat.store, tools=TOOLS, respond=scripted(replies), **options
    )
    assert loaded is not None
    return loaded


def calls_of(chat: nbchat.Chat) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stored_rows(chat.store, chat.id)["tool_calls"]
    return found


def states(chat: nbchat.Chat) -> list[tuple[str, str, str | None]]:
    rows = raw_rows(chat.store, chat.id, "tool_calls")
    return [(row["name"], row["status"], row["approval"]) for row in rows]


def results(ended: Ended) -> list[str]:
    assert ended.error is None
    assert ended.message is not None
    return [part.content for part in ended.message.parts if part.kind == "tool_result"]


# A function decides -------------------------------------------------------------------------


async def ayes(call: Any) -> Any:
    return True


async def ano(call: Any) -> Any:
    return False


class Approver:
    async def __call__(self, call: Any) -> str:
        return "yes"


@pytest.mark.parametrize(
    ("confirm", "approval"),
    [
        (lambda call: True, "approved"),
        (lambda call: "approve", "approved"),
        (lambda: "always", "always"),
        (ayes, "approved"),
        (Approver(), "approved"),
        (lambda call: ayes(call), "approved"),
    ],
)
def test_a_call_runs_once_the_function_agrees(
    way: str, confirm: Any, approval: str, store: nbchat.Store
) -> None:
    chat = chat_of(store, [CANCEL], "done", confirm=confirm)
    assert results(WAYS[way](chat, "hello")) == ["cancelled 1"]
    assert ran == [1]
    assert calls_of(chat) == [{**CANCELLED, "approval": approval}]


@pytest.mark.parametrize("confirm", [lambda call: False, lambda call: None, ano, lambda: "no"])
def test_a_call_that_the_function_denies_does_not_run_and_the_turn_goes_on(
    way: str, confirm: Any, store: nbchat.Store
) -> None:
    chat = chat_of(store, [CANCEL], "done", confirm=confirm)
    ended = WAYS[way](chat, "hello")
    assert results(ended) == [DENIED]
    assert ended.message is not None
    assert (ended.message.status, ended.message.content) == ("complete", "done")
    assert ran == []
    assert calls_of(chat) == [{**NOT_RUN, "error": DENIED}]


def test_the_function_gets_the_call_when_its_row_is_stored(store: nbchat.Store) -> None:
    seen: list[Any] = []

    def confirm(call: Any) -> bool:
        [row] = raw_rows(store, chat.id, "tool_calls")
        seen.append((call.name, call.arguments, call.tool_call_id, call.question))
        seen.append((call.call_id, row["status"], row["approval"], row["decided_at"]))
        assert call.call_id == str(row["id"])
        return True

    chat = chat_of(store, [CANCEL], "done", confirm=confirm)
    chat.ask("hello")
    [row] = raw_rows(store, chat.id, "tool_calls")
    assert seen == [
        ("cancel", {"order": 1}, "c1", None), (str(row["id"]), "pending", "waiting", None),
    ]  # fmt: skip


@pytest.mark.parametrize("nonsense", ["perhaps", 1, 0, 1.0, [True], {}])
def test_a_function_that_says_neither_yes_nor_no_ends_the_turn(
    nonsense: Any, store: nbchat.Store
) -> None:
    chat = chat_of(store, [CANCEL], confirm=lambda call: nonsense)
    ended = WAYS["ask"](chat, "hello")
    assert isinstance(ended.error, nbchat.NbchatError)
    assert str(ended.error) == (
        f"The confirm function gave {nonsense!r}. Give True, False or 'always'."
    )
    assert ran == []
    assert chat.messages()[-1].status == "stopped"


def test_a_function_that_raises_ends_the_turn_and_the_call_waits_on(
    way: str, store: nbchat.Store
) -> None:
    def confirm(call: Any) -> bool:
        raise ZeroDivisionError("oops")

    chat = chat_of(store, [CANCEL, ToolCall("look", {}, "c2")], "done", confirm=confirm)
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, ZeroDivisionError)
    assert ran == [0]
    assert states(chat) == [("cancel", "pending", "waiting"), ("look", "ok", None)]
    assert chat.messages()[-1].error == {"type": "ZeroDivisionError", "message": "oops"}
    [call] = chat.approvals()
    assert chat.approve(call.call_id).resume().content == "done"
    assert ran == [0, 1]


def test_without_anybody_to_ask_the_call_is_denied_and_the_turn_goes_on(
    way: str, store: nbchat.Store
) -> None:
    with ReplayServer(said("so ", CANCEL), "done") as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, store=store, tools=TOOLS)
        ended = WAYS[way](chat, "hello")
        sent = server.requests[1].json["messages"]
    assert sent[-1] == {"role": "tool", "tool_call_id": "c1", "content": NOBODY}
    assert results(ended) == [NOBODY]
    assert ran == []
    assert calls_of(chat) == [{**NOT_RUN, "error": NOBODY}]


@pytest.mark.parametrize("confirm", ["yes", "perhaps", 1, True])
def test_a_confirm_that_is_none_is_refused(confirm: Any, store: nbchat.Store) -> None:
    chat = chat_of(store, "never")
    for give in (
        lambda: chat.ask("hello", confirm=confirm),
        lambda: chat.with_policy("confirm", confirm=confirm),
        lambda: chat_of(store, confirm=confirm),
    ):
        with pytest.raises(nbchat.NbchatError, match=r"^confirm="):
            give()
    assert chat.messages() == []


def test_only_what_needs_approval_is_asked_about_and_the_rest_runs_meanwhile(
    way: str, store: nbchat.Store
) -> None:
    looked, asked = threading.Event(), []

    def watch() -> str:
        """Watch."""
        looked.set()
        return "watched"

    def confirm(call: Any) -> bool:
        asked.append(call.arguments)
        return looked.wait(20) and call.arguments == {"order": 2}

    calls = [CANCEL, ToolCall("watch", {}, "c2"), ToolCall("cancel", {"order": 2}, "c3"),
             ToolCall("cancel", {"order": "x"}, "c4")]  # fmt: skip
    chat = chat_of(store, calls, "done", confirm=confirm, tools=[cancel, watch])
    told = results(WAYS[way](chat, "hello"))
    assert told[:3] == [DENIED, "watched", "cancelled 2"]
    assert states(chat) == [
        ("cancel", "denied", "denied"), ("watch", "ok", None), ("cancel", "ok", "approved"),
        ("cancel", "invalid", None),
    ]  # fmt: skip
    assert sorted(map(str, asked)) == ["{'order': 1}", "{'order': 2}"]


# Always -------------------------------------------------------------------------------------


def test_always_is_for_this_tool_in_this_chat_and_survives(store: nbchat.Store) -> None:
    chat = chat_of(store, [CANCEL], "done", [CANCEL], "done", confirm=lambda call: "always")
    chat.ask("hello")
    chat.ask("again", confirm="deny")
    loaded = again(chat, [CANCEL, ToolCall("refund", {"order": 2}, "c2")], "done")
    assert loaded.ask("once more").content == "done"
    other = chat_of(store, [CANCEL], "done")
    other.ask("hello")
    assert ran == [1, 1, 1]
    assert states(chat) == [
        ("cancel", "ok", "always"), ("cancel", "ok", None), ("cancel", "ok", None),
        ("refund", "denied", "denied"),
    ]  # fmt: skip
    assert states(other) == [("cancel", "denied", "denied")]


def test_always_for_a_second_tool_leaves_the_first(store: nbchat.Store) -> None:
    both = [CANCEL, ToolCall("refund", {"order": 1}, "c2")]
    chat = chat_of(store, both, "done", confirm=lambda call: "always")
    chat.ask("hello")
    again(chat, both, "done").ask("again")
    assert sorted(ran) == [-1, -1, 1, 1]


def test_always_is_not_lost_by_another_object_that_changes_settings(store: nbchat.Store) -> None:
    chat = chat_of(store, [CANCEL], "done", confirm=lambda call: "always")
    before = again(chat)
    chat.ask("hello")
    before.with_temperature(0).with_policy({"look": "auto"}).with_params(top_k=1)
    loaded = again(chat, [CANCEL], "done")
    loaded.ask("again")
    assert ran == [1, 1]


def test_always_holds_in_another_object_that_was_there_before(store: nbchat.Store) -> None:
    chat = chat_of(store, [CANCEL], "done", confirm=lambda call: "always")
    before = again(chat, [CANCEL], "done")
    chat.ask("hello")
    before.ask("again")
    assert ran == [1, 1]


def test_always_does_not_lift_a_dry_run(store: nbchat.Store) -> None:
    chat = chat_of(store, [CANCEL], "done", [CANCEL], confirm=lambda call: "always")
    chat.ask("hello")
    chat.ask("again", tool_policy={"cancel": "dry_run"})
    assert states(chat) == [("cancel", "ok", "always"), ("cancel", "proposed", None)]


# Later --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decide", "told", "state"),
    [
        (lambda chat, id_: chat.approve(id_), "cancelled 1", ("ok", "approved")),
        (lambda chat, id_: chat.approve(id_, always=True), "cancelled 1", ("ok", "always")),
        (lambda chat, id_: chat.deny(id_), DENIED, ("denied", "denied")),
    ],
)
def test_a_turn_ends_until_somebody_has_decided_and_then_goes_on(
    way: str, decide: Any, told: str, state: tuple[str, str], store: nbchat.Store
) -> None:
    chat = chat_of(store, ["so ", CANCEL, ToolCall("look", {}, "c2")], confirm="later")
    ended = WAYS[way](chat, "hello")
    assert ended.message is not None
    assert ended.message.status == "stopped"
    assert ended.message.error is not None
    assert ended.message.error["type"] == "AwaitsApproval"
    assert states(chat) == [("cancel", "pending", "waiting"), ("look", "ok", None)]
    assert ran == [0]
    [call] = again(chat).approvals()
    assert (call.name, call.arguments, call.message_id) == (
        "cancel", {"order": 1}, ended.message.id,
    )  # fmt: skip
    decide(again(chat), call.call_id)
    assert again(chat).approvals() == []
    message = again(chat, "done").resume()
    assert (message.id, message.status, message.content) == (
        ended.message.id, "complete", "so done",
    )  # fmt: skip
    assert results(Ended(message=message)) == [told, "looked"]
    assert states(chat)[0] == ("cancel", *state)
    assert len(raw_rows(store, chat.id, "tool_calls")) == 2
    assert pending(store, chat.id) == []


def test_what_nobody_has_decided_waits_on_when_the_turn_goes_on(store: nbchat.Store) -> None:
    calls = [CANCEL, ToolCall("refund", {"order": 2}, "c2")]
    chat = chat_of(store, calls, "done", confirm="later")
    chat.ask("hello")
    first, second = chat.approvals()
    chat.approve(first.call_id)
    assert chat.resume().status == "stopped"
    assert ran == [1]
    assert [call.call_id for call in chat.approvals()] == [second.call_id]
    assert chat.approve(second.call_id).resume().content == "done"
    assert ran == [1, -2]
    assert [row["attempt"] for row in raw_rows(store, chat.id, "tool_calls")] == [1, 1]


def test_the_first_decision_counts(store: nbchat.Store) -> None:
    chat = chat_of(store, [CANCEL], "done", confirm="later")
    chat.ask("hello")
    [call] = chat.approvals()
    chat.deny(call.call_id)
    for decide in (chat.approve, chat.deny, again(chat).approve):
        with pytest.raises(nbchat.NbchatError, match="was decided already: denied"):
            decide(call.call_id)
    chat.resume()
    assert ran == []


def test_an_id_that_waits_nowhere_in_this_chat_is_refused(store: nbchat.Store) -> None:
    chat = chat_of(store, [CANCEL, ToolCall("look", {}, "c2")], confirm="later")
    chat.ask("hello")
    [call] = chat.approvals()
    _, looked = raw_rows(store, chat.id, "tool_calls")
    for id_ in ("", "c1", "nonsense", call.message_id, None, 1):
        with pytest.raises(nbchat.NbchatError, match="No tool call of this chat has the id"):
            chat.approve(id_)  # type: ignore[arg-type]  # what a user may give
    with pytest.raises(nbchat.NbchatError, match="No tool call of this chat has the id"):
        chat_of(store).approve(call.call_id)
    with pytest.raises(nbchat.NbchatError, match="'look' needs no approval"):
        chat.deny(str(looked["id"]))
    assert [waiting.call_id for waiting in chat.approvals()] == [call.call_id]


def test_another_question_closes_the_call_that_waited(store: nbchat.Store) -> None:
    with ReplayServer(said(CANCEL), "fine") as server:
        chat = nbchat.create_chat(
            "openai/x", base_url=server.url, store=store, tools=TOOLS, confirm="later"
        )
        chat.ask("hello")
        [call] = chat.approvals()
        assert chat.ask("never mind").content == "fine"
        sent = server.requests[1].json["messages"]
    assert sent[2] == {"role": "tool", "tool_call_id": "c1", "content": "result unavailable"}
    assert [status for _, status, _ in states(chat)] == ["stopped"]
    assert chat.approvals() == []
    with pytest.raises(nbchat.NbchatError, match="'cancel' waits no more"):
        chat.approve(call.call_id)
    with pytest.raises(nbchat.NbchatError, match="nothing to resume"):
        chat.resume()
    assert ran == []
