"""Killed with -9 at any moment: what was acknowledged is there, and the chat goes on."""

import gzip
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from crashes import (
    Child,
    assert_acknowledged,
    assert_healthy,
    assert_whole,
    heard,
    killed_after,
    replay,
)
from crashing_child import KINDS, WHENS, double, expected, open_chat, respond, run_turn
from stored_rows import raw_rows

import nbchat
from nbchat.testing import ReplayServer

OLD = Path(__file__).parents[1] / "store" / "golden" / "v1.duckdb.gz"
RANDOM_KILLS = 90
KILLS_PER_CHAT = 15


def test_killed_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # shown when the test fails
    dice = random.Random(seed)
    path = tmp_path / "chats.duckdb"
    store = nbchat.open_store(path)
    acknowledged: dict[str, list[Any]] = {}
    with ReplayServer(*[replay] * 100_000) as server:
        for number in range(RANDOM_KILLS):
            group = number // KILLS_PER_CHAT
            url = server.url if group % 2 else ""
            name = f"chat {group}"
            ready, *turns = killed_after(Child("turns", path, name, url), dice.uniform(0, 0.15))
            chat_id = ready["ready"]
            acknowledged.setdefault(chat_id, []).extend(turns)
            assert_acknowledged(store, chat_id, acknowledged[chat_id])
            assert_whole(store, chat_id)
            if number % 3 == 0:
                chat = open_chat(str(path), name, url)
                assert chat.ask("plain").content == expected("plain")[1]
    assert_healthy(store)
    assert any(acknowledged.values())


# the transactions of one turn: begin; round 1 and its two calls; each call's end; the end
@pytest.mark.parametrize("kind", ["stream tools", "failure"])
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("when", WHENS)
def test_killed_at_each_step_leaves_what_was_committed(
    tmp_path: Path, number: int, when: str, kind: str
) -> None:
    store = nbchat.open_store(tmp_path / "chats.duckdb")
    assert Child("step", store.path, "chat", number, when, kind).end() == b'"start"\n'
    committed = number if when == "after" else number - 1
    chat = nbchat.load_chat("chat", store=store, respond=respond, tools=[double])
    assert chat is not None
    messages = chat.messages()
    assert_whole(store, chat.id)
    told = [(message.role, message.status) for message in messages]
    calls = [row["status"] for row in raw_rows(store, chat.id, "tool_calls")]
    if committed == 0:
        assert (told, calls) == ([], [])
    elif committed == 1:
        assert (told, calls) == ([("user", "complete")], [])
    elif committed < 5:
        assert told == [("user", "complete"), ("assistant", "interrupted")]
        assert messages[1].content == "let me see "
        assert sorted(calls) == sorted(["ok"] * (committed - 2) + ["stopped"] * (4 - committed))
        assert messages[1].error == {
            "type": "Interrupted", "message": "the process that asked ended",
        }  # fmt: skip
    elif kind == "failure":
        # the failed request has a transaction of its own, the turn's end comes after it
        assert told == [("user", "complete"), ("assistant", "interrupted")]
    else:
        assert told == [("user", "complete"), ("assistant", "complete")]
        assert calls == ["ok", "ok"]
    run_turn(chat, KINDS[2])
    assert (chat.messages()[-1].status, chat.messages()[-1].content) == expected(KINDS[2])[:2]
    assert_whole(store, chat.id)


def steps_of(*arguments: Any) -> int:
    """How many steps a child makes that nothing traps."""
    return int(heard(Child("trap", *arguments).end())[-1]["steps"])


def trap_at(kind: str, number: int, act: str, path: Path) -> None:
    process = Child("trap", kind, number, act, path)
    out = process.end()
    assert process.exit_code == -signal.SIGKILL, out


def chosen(steps: int, most: int) -> list[int]:
    """So many of the steps at most, evenly spread and elsewhere each time."""
    if steps <= most:
        return list(range(1, steps + 1))
    return [random.randint(1 + n * steps // most, (n + 1) * steps // most) for n in range(most)]


@pytest.mark.parametrize(("kind", "most"), [("file", 12), ("line", 6)])
def test_a_migration_killed_at_any_step_ends_when_the_store_opens(
    tmp_path: Path, kind: str, most: int
) -> None:
    old = gzip.decompress(OLD.read_bytes())
    path = tmp_path / "0.duckdb"
    path.write_bytes(old)
    steps = steps_of(kind, 0, "migrate", path)
    golden = nbchat.load_chat("golden", store=path)
    assert golden is not None
    for number in chosen(steps, most):
        place = tmp_path / f"{number}" / "chats.duckdb"
        place.parent.mkdir()
        place.write_bytes(old)
        trap_at(kind, number, "migrate", place)
        chat = nbchat.load_chat("golden", store=place, respond=respond)
        assert chat is not None
        assert chat.messages() == golden.messages()
        assert_healthy(chat.store)
        assert chat.ask("plain").content == expected("plain")[1]
        backups = place.parent.glob("*.bak")
        assert all(backup.read_bytes() == old for backup in backups)
        assert list(place.parent.glob("*.part")) == []


@pytest.mark.parametrize(("kind", "most"), [("file", 12), ("line", 6)])
def test_compacting_killed_at_any_step_leaves_the_old_file_or_the_new(
    tmp_path: Path, kind: str, most: int
) -> None:
    path = tmp_path / "chats.duckdb"
    chat = open_chat(str(path), "chat")
    for asked in KINDS:
        run_turn(chat, asked)
    chat.store.close()
    steps = steps_of(kind, 0, "compact", path)
    known = chat.messages()
    for number in chosen(steps, most):
        chat.store.close()
        trap_at(kind, number, "compact", path)
        assert chat.messages() == known
        assert_whole(chat.store, chat.id)
        assert_healthy(chat.store)
    chat.store.compact()
    assert chat.ask("plain").content == expected("plain")[1]
    chat.store.close()
    left = {place.name.removeprefix(path.name) for place in tmp_path.iterdir()}
    assert left == {"", ".lock", ".wait"}
