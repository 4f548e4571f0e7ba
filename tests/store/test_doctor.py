"""The doctor: a whole store has nothing to repair, every fault is found, and repair mends it."""

import gzip
import importlib.util
import json
import os
import time
from pathlib import Path

import pytest
from golden.make import CUSTOM, fill
from waiting_child import let_end, waiting

import nbchat
from nbchat.errors import StoreBusy
from nbchat.store.doctor import CHECKS, IN_THE_STORE, INFORMATION, LEFT_BEHIND_S
from nbchat.store.identity import this_owner

TESTS = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("seeds", TESTS / "analytics" / "seeded.py")
seeded = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(seeded)

BESIDE = ["spooled_answers", "temporary_files", "backups"]
ALL = ["damage", *(check.name for check in IN_THE_STORE), *BESIDE]
WRONG = set(ALL) - INFORMATION - {"damage", "spooled_answers"}
REPAIRABLE = WRONG - {"missing_attachments"}
DTYPES = {
    "check": "string", "rows": "Int64", "repaired": "Int64", "what": "string", "ids": "string",
}  # fmt: skip
DEAD = f"{this_owner().rsplit(' ', 1)[0]} 0@another-boot"


@pytest.fixture
def memory():
    """A store with every outcome of a turn that is never attached anew."""
    opened = nbchat.open_store(":memory:")
    fill(opened)
    return opened


def found(frame):
    """Checks that found something, with how much."""
    return {check: rows for check, rows in zip(frame["check"], frame["rows"], strict=True) if rows}


def repaired(frame):
    """Checks that repaired something, with how much."""
    return {check: n for check, n in zip(frame["check"], frame["repaired"], strict=True) if n}


def row(frame, check):
    """What one check found."""
    return frame[frame["check"] == check].iloc[0]


def wrong(store):
    """What a whole store must not have, with how much of it there is."""
    return {check: rows for check, rows in found(store.doctor()).items() if check in WRONG}


def change(store, sql):
    """Change the tables behind nbchat's back."""
    store.transact(lambda cursor: store.names.over(cursor).execute(sql))


def everything(store):
    """Every row of every table."""
    tables = ("chats", "messages", "tool_calls", "requests", "agent_sessions")
    return [
        store.read(lambda cursor, t=table: cursor.execute(f'from "{t}" order by all').fetchall())
        for table in tables
    ]


def double_write(table, changes=""):
    """A second row like the first, with an id of its own."""
    return (
        f'insert into "{table}" select * replace (uuidv7() as "id"{changes}) '
        f'from "{table}" as t order by t."id" limit 1'
    )


def test_every_check_is_a_file_a_person_can_read():
    files = {path.stem for path in CHECKS.glob("*.sql")}

    assert files == {"damage", *(check.name for check in IN_THE_STORE)}
    for path in CHECKS.glob("*.sql"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("-- ")
        assert "\n-- columns  " in text
        assert "\n-- repair   " in text


@pytest.mark.parametrize("name", seeded.SEEDS)
def test_a_store_that_was_only_used_has_nothing_to_repair(name, store):
    seeded.SEEDS[name](store)

    frame = store.doctor()

    assert list(frame["check"]) == ALL
    assert frame.dtypes.astype(str).to_dict() == DTYPES
    assert wrong(store) == {}
    assert repaired(store.doctor(repair=True)) == {}


@pytest.mark.parametrize("names", [None, CUSTOM], ids=["plain", "custom names"])
def test_a_store_of_a_released_version_has_nothing_to_repair(path, names):
    golden = Path(__file__).with_name("golden") / "v1.duckdb.gz"
    path.write_bytes(gzip.decompress(golden.read_bytes()))

    frame = nbchat.open_store(path, table_names=names).doctor()

    assert found(frame) == {"unpriced_requests": 5, "backups": 1}
    assert json.loads(row(frame, "backups")["ids"]) == [f"{path}.v1.bak"]


def test_a_store_whose_writer_was_killed_has_nothing_to_repair(path, start):
    child = waiting(start, path)
    store = nbchat.open_store(path)

    running = store.doctor(repair=True)

    assert found(running) == {"running_turns": 1, "unpriced_requests": 1}
    child.kill()
    child.wait()
    store.close()
    assert wrong(store) == {}
    assert found(store.doctor()) == {"unpriced_requests": 1}


def test_a_running_turn_is_not_repaired_away(path, start):
    child = waiting(start, path)
    store = nbchat.open_store(path)

    assert repaired(store.doctor(repair=True)) == {}

    let_end(child)
    answer = nbchat.load_chat("child", store=store).messages()[-1]
    assert (answer.status, answer.content) == ("complete", "Let me see.It is done.")


FAULTS = {
    "a message without a chat": (
        double_write("messages", ", uuid() as chat_id, null as parent_id"),
        {"orphaned_messages": 1},
    ),
    "a request of a chat that is not there": (
        double_write("requests", ", uuid() as chat_id, 99 as attempt"), {"orphaned_requests": 1}
    ),
    "a tool call of a turn that is not there": (
        double_write("tool_calls", ", 99 as turn, 99 as attempt"), {"orphaned_tool_calls": 1}
    ),
    "a session of a chat that is not there": (
        double_write("agent_sessions", ", uuid() as chat_id"), {"orphaned_agent_sessions": 1}
    ),
    "a message that was written twice": (
        """insert into "messages" select * replace (uuidv7() as "id") from "messages"
        where "seq" = (select max("seq") from "messages")""",
        {"duplicate_messages": 1},
    ),
    "a request that was written twice": (double_write("requests"), {"duplicate_requests": 1}),
    "a tool call that was written twice": (double_write("tool_calls"), {"duplicate_tool_calls": 1}),
    "a parent that is not there": (
        """update "messages" set "parent_id" = uuid() where "seq" = 3""", {"lost_parents": 1}
    ),
    "a message that follows itself": (
        """update "messages" set "parent_id" = "id" where "seq" = 3""", {"lost_parents": 1}
    ),
    "a head that is not there": (
        """update "chats" set "head_message_id" = uuid()""", {"lost_heads": 1}
    ),
    "a tool call that never ended": (
        """update "tool_calls" set "status" = 'pending' where "name" = 'nope'""",
        {"pending_tool_calls": 1},
    ),
    "a turn that a dead process left": (
        f"""update "messages" set "status" = 'pending', "owner" = '{DEAD}' where "seq" = 2""",
        {"abandoned_turns": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_repair_brings_back_the_store_as_it_was(name, memory):
    sql, expected = FAULTS[name]
    whole = everything(memory)

    change(memory, sql)

    assert wrong(memory) == expected
    frame = memory.doctor(repair=True)
    assert repaired(frame) == expected
    assert row(frame, next(iter(expected)))["what"].endswith(": 1, repaired.")
    assert len(json.loads(row(frame, next(iter(expected)))["ids"])) == 1
    assert repaired(memory.doctor(repair=True)) == {}
    if not expected.keys() & {"pending_tool_calls", "abandoned_turns"}:
        assert everything(memory) == whole


def test_tables_of_other_names_are_repaired_alike():
    store = nbchat.open_store(":memory:", table_names=CUSTOM)
    fill(store)
    for sql, _ in FAULTS.values():
        change(store, sql)

    assert repaired(store.doctor(repair=True)).keys() == REPAIRABLE - {"temporary_files"}
    assert wrong(store) == {}


def test_what_a_check_finds_is_left_alone_without_repair(memory):
    for sql, _ in FAULTS.values():
        change(memory, sql)
    before = everything(memory)

    frame = memory.doctor()

    assert len(found(frame)) > 8
    assert repaired(frame) == {}
    assert everything(memory) == before


def test_all_that_hangs_on_a_lost_chat_goes_at_once(memory):
    change(memory, """delete from "chats" """)

    frame = memory.doctor(repair=True)

    assert repaired(frame) == {
        "orphaned_messages": 7, "orphaned_tool_calls": 3, "orphaned_requests": 6,
        "orphaned_agent_sessions": 1,
    }  # fmt: skip
    assert everything(memory) == [[], [], [], [], []]


def test_rows_of_a_failed_turn_belong_to_it_although_its_answer_was_deleted(memory):
    failed = memory.sql(
        """select r.id from requests as r anti join messages as m on m.id = r.message_id"""
    )

    assert len(failed) == 1
    assert wrong(memory) == {}


def test_two_messages_of_one_place_that_differ_need_a_person(memory):
    change(memory, double_write("messages", """, 'another question' as "content" """))
    before = everything(memory)

    frame = memory.doctor(repair=True)

    assert found(frame)["duplicate_messages"] == 1
    assert repaired(frame) == {}
    assert "look at the others yourself" in row(frame, "duplicate_messages")["what"]
    assert everything(memory) == before


def test_two_answers_of_one_turn_need_a_person(memory):
    change(memory, double_write("messages", """, 99 as "seq" """))

    assert found(memory.doctor(repair=True))["duplicate_messages"] == 1
    assert found(memory.doctor())["duplicate_messages"] == 1


def test_of_more_doubles_one_stays(memory):
    for _ in range(3):
        change(memory, double_write("requests"))
    change(memory, double_write("requests", """, 999 as "output_tokens" """))

    frame = memory.doctor(repair=True)

    assert row(frame, "duplicate_requests")["rows"] == 4
    assert row(frame, "duplicate_requests")["repaired"] == 3
    assert found(memory.doctor())["duplicate_requests"] == 1


def test_columns_of_the_users_own_tell_rows_apart(memory):
    memory.sql("alter table requests add column team varchar", write=True)
    change(memory, double_write("requests", """, 'b' as "team" """))

    assert repaired(memory.doctor(repair=True)) == {}


CLOCKS = {
    "times_ahead": """update "messages" set "finished_at" = now()::timestamp + interval 6 minutes
        where "seq" = 2""",
    "times_backwards": """update "requests" set "duration_ms" = -1 where "attempt" = 1
        and "turn" = 1""",
    "times_out_of_order": """update "messages" set "created_at" = "created_at" - interval 2 minute,
        "finished_at" = "finished_at" - interval 2 minute where "seq" = 4""",
}


@pytest.mark.parametrize("check", CLOCKS)
def test_a_clock_that_was_wrong_is_told_and_changes_nothing(memory, check):
    change(memory, CLOCKS[check])
    before = everything(memory)

    frame = memory.doctor(repair=True)

    assert found(frame) == {"unpriced_requests": 5, check: 1}
    assert "order is by seq" in row(frame, check)["what"]
    assert everything(memory) == before


def test_times_within_five_minutes_are_believed(memory):
    change(
        memory,
        """update "chats" set "updated_at" = now()::timestamp + interval 4 minutes""",
    )

    assert found(memory.doctor()) == {"unpriced_requests": 5}


def test_an_unknown_price_is_told_and_stays_unknown(memory):
    frame = memory.doctor(repair=True)

    assert row(frame, "unpriced_requests")["rows"] == 5
    assert "never repaired" in row(frame, "unpriced_requests")["what"]
    assert memory.sql("select count(cost_usd) as n from requests")["n"][0] == 0


def test_at_most_twenty_ids_are_listed(memory):
    for _ in range(25):
        change(memory, double_write("agent_sessions", ", uuid() as chat_id"))

    ids = json.loads(row(memory.doctor(), "orphaned_agent_sessions")["ids"])

    assert len(ids) == 20
    assert ids == sorted(ids)


def corrupted(path, text):
    """Spoil one byte of this text in the file."""
    content = bytearray(path.read_bytes())
    place = content.index(text)
    content[place] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("repair", [False, True])
def test_a_spoiled_byte_is_a_finding_and_nothing_is_repaired(store, path, repair):
    fill(store)
    change(store, """update "chats" set "instructions" = repeat(uuid()::varchar, 9) || 'MARK'""")
    change(store, """update "chats" set "head_message_id" = uuid()""")
    store.close()
    corrupted(path, b"MARK")
    spoiled = path.read_bytes()

    frame = store.doctor(repair=repair)

    assert list(frame["check"]) == ALL
    assert frame.dtypes.astype(str).to_dict() == DTYPES
    assert json.loads(row(frame, "damage")["ids"]) == ["chats"]
    assert "restore a backup" in row(frame, "damage")["what"]
    unchecked = frame[frame["rows"].isna()]
    assert list(unchecked["check"]) == [check.name for check in IN_THE_STORE]
    assert repaired(frame) == {}
    store.close()
    assert path.read_bytes() == spoiled


def test_a_file_that_can_no_longer_be_opened_is_a_finding(store, path):
    fill(store)
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(byte ^ 0xFF for byte in content[4096:]))

    frame = store.doctor()

    assert json.loads(row(frame, "damage")["ids"]) == [path.name]
    assert frame["rows"].isna().sum() == len(IN_THE_STORE)


def test_a_store_that_somebody_holds_is_busy_and_not_damaged(store, start, path, monkeypatch):
    store.close()
    holder = start(
        "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('mine', flush=True); input()",
        path,
    )
    assert holder.stdout.readline() == "mine\n"
    monkeypatch.setattr("nbchat.store.file.BUSY_TIMEOUT_S", 0.1)

    with pytest.raises(StoreBusy):
        store.doctor()


def test_repair_removes_only_temporary_files_that_nobody_writes_any_more(store, path):
    old = [Path(f"{path}{ending}") for ending in (".compact", ".compact.wal", ".v1.2.part")]
    kept = [Path(f"{path}{ending}") for ending in (".compacted", ".v1.bak", ".part", ".v2.part")]
    old += [Path(f"{path}.new"), Path(f"{path}.spool", "half.tmp")]
    old[-2].mkdir()
    Path(f"{path}.spool").mkdir()
    (old[-2] / "store.duckdb").write_bytes(b"half")
    for place in [*old[:-2], old[-1], *kept]:
        place.write_bytes(b"half")
    long_ago = time.time() - LEFT_BEHIND_S - 1
    for place in [*old, *kept[:-1]]:
        os.utime(place, (long_ago, long_ago))

    assert found(store.doctor()) == {"temporary_files": 5, "backups": 1}
    assert repaired(store.doctor(repair=True)) == {"temporary_files": 5}
    assert not any(place.exists() for place in old)
    assert all(place.exists() for place in kept)
    assert found(store.doctor()) == {"backups": 1}


def test_an_answer_whose_chat_is_gone_is_told_of_and_left(store, path):
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "hello")
    answer = chat.ask("hi")
    nbchat.delete_chat(chat.id, store=store)
    place = store.keep(answer, [])
    unreadable = place.with_name("torn.json")
    unreadable.write_text('{"tables": "ch')
    other = place.with_name("other.json")
    other.write_text(place.read_text().replace('"tables": "chats"', '"tables": "others"'))

    frame = store.doctor(repair=True)

    assert found(frame) == {"spooled_answers": 2}
    assert sorted(json.loads(row(frame, "spooled_answers")["ids"])) == [
        str(place), str(unreadable)
    ]  # fmt: skip
    assert all(file.exists() for file in (place, unreadable, other))
