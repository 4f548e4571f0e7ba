"""Purge: old turns go whole, or only what was said in them; what stays is as it was."""

import json
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from golden.make import CUSTOM, fill
from purged_rows import COUNTS, NOTHING, asked_in, assert_whole, counted, everything, rows, run
from waiting_child import let_end, waiting

import nbchat
from nbchat.errors import ConfigError
from nbchat.exchange import Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.store.purge import FOLDER, cutoff_of
from nbchat.testing import scripted

TIMES = {"created_at", "finished_at", "started_at", "updated_at", "content_removed_at"}
IDS = {"id", "chat_id", "message_id", "parent_id", "head_message_id", "provider_request_id"}


@pytest.fixture
def memory():
    """A store whose one chat has a turn of every outcome; the turns are 10 days apart."""
    opened = nbchat.open_store(":memory:")
    fill(opened)
    spread(opened)
    return opened


def spread(store):
    """Have the turns of each chat begin 40, 30, 20 and 10 days ago."""
    for table in ("messages", "tool_calls", "requests"):
        column = "created_at" if table == "messages" else "started_at"
        run(store, f'update "{table}" set "{column}" = now()::timestamp - (50 - "turn" * 10) * '
                   "interval 1 day")  # fmt: skip
    run(store, """update "chats" set "updated_at" = now()::timestamp - interval 10 day""")


def turns_left(store):
    return [turn for (turn,) in run(store, 'select distinct "turn" from "messages" order by 1')]


@pytest.mark.parametrize(
    ("said", "age"),
    [
        (timedelta(days=3), timedelta(days=3)),
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("90min", timedelta(minutes=90)),
        (" 1.5 w ", timedelta(weeks=1.5)),
        (pd.Timedelta("2 days"), timedelta(days=2)),
        ("1y", timedelta(days=365)),
        ("0d", timedelta()),
    ],
)
def test_an_age_is_counted_from_now(said, age):
    before = datetime.now(UTC).replace(tzinfo=None)

    cutoff = cutoff_of(said)

    assert before - age <= cutoff <= datetime.now(UTC).replace(tzinfo=None) - age


@pytest.mark.parametrize(
    ("said", "time"),
    [
        (date(2026, 1, 31), datetime(2026, 1, 31)),
        (datetime(2026, 1, 31, 12), datetime(2026, 1, 31, 12)),
        ("2026-01-31", datetime(2026, 1, 31)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10)),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31, 12)),
        (pd.Timestamp("2026-01-31 12:00", tz="Asia/Tokyo"), datetime(2026, 1, 31, 3)),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(said, time):
    assert cutoff_of(said) == time


@pytest.mark.parametrize(
    "said",
    [
        "", "30", "30 days", "d", "-3d", "yesterday", "1e3d", "9999999999999d", 30, 30.5, True,
        None, pd.NaT, ["30d"], b"30d", "nan d", timedelta.max,
    ],
)  # fmt: skip
def test_what_is_no_age_or_time_is_an_error(memory, said):
    before = everything(memory)

    with pytest.raises(ConfigError, match="older_than="):
        memory.purge(said)

    assert everything(memory) == before


@pytest.mark.parametrize(
    "said", [timedelta(seconds=-9), "2999-01-01", date(2999, 1, 1), datetime(2999, 1, 1)]
)
def test_a_time_in_the_future_is_an_error(memory, said):
    before = everything(memory)

    with pytest.raises(ConfigError, match="in the future"):
        memory.purge(said)

    assert everything(memory) == before


@pytest.mark.parametrize("said", ["6m", " 0.5 m "])
def test_an_age_that_may_be_minutes_or_months_is_an_error(memory, said):
    before = everything(memory)

    with pytest.raises(ConfigError, match=r"'min' for minutes.*'180d'"):
        memory.purge(said)

    assert everything(memory) == before


def test_the_questions_are_files_a_person_can_read():
    for path in FOLDER.glob("*.sql"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("-- Which ")
        assert "\n-- params   $cutoff" in text


@pytest.mark.parametrize("options", [{}, {"content_only": True}, {"dry_run": True}], ids=str)
def test_the_frame_is_the_same_for_an_empty_store(options):
    store = nbchat.open_store(":memory:")

    frame = store.purge("2026-01-31", **options)

    assert counted(frame) == NOTHING
    assert frame.dtypes.astype(str).to_dict() == {
        **dict.fromkeys(COUNTS, "Int64"), "older_than": "datetime64[us, UTC]"
    }  # fmt: skip
    assert frame["older_than"][0] == pd.Timestamp("2026-01-31", tz="UTC")


@pytest.mark.parametrize("names", [None, CUSTOM], ids=["plain", "custom names"])
@pytest.mark.parametrize("content_only", [False, True], ids=["whole", "content"])
@pytest.mark.parametrize("older_than", ["25d", "1d"])
def test_a_dry_run_counts_the_same_and_changes_nothing(names, content_only, older_than):
    store = nbchat.open_store(":memory:", table_names=names)
    fill(store)
    spread(store)
    before = everything(store)

    dry = store.purge(older_than, content_only=content_only, dry_run=True)

    assert everything(store) == before
    done = store.purge(older_than, content_only=content_only)
    assert counted(dry) == counted(done)
    again = store.purge(older_than, content_only=content_only)
    assert counted(again) == NOTHING
    if not content_only:
        after = everything(store)
        lost = {table: len(before[table]) - len(after[table]) for table in COUNTS}
        assert counted(done) == lost
    assert_whole(store)


def test_old_turns_go_whole_and_later_ones_stay_as_they_were(memory):
    before = everything(memory)

    counts = counted(memory.purge("25d"))

    assert counts == {**NOTHING, "messages": 4, "tool_calls": 1, "requests": 3}
    after = everything(memory)
    assert turns_left(memory) == [3, 4]
    for table in ("tool_calls", "requests", "chats", "agent_sessions"):
        assert after[table] == [row for row in before[table] if row.get("turn", 3) > 2]
    kept = [row for row in before["messages"] if row["turn"] > 2]
    assert after["messages"] == [
        {**row, "parent_id": None} if row["turn"] == 3 else row for row in kept
    ]
    assert_whole(memory)


def test_the_chat_goes_on_after_a_purge(memory):
    memory.purge("25d")

    chat, asked = asked_in(memory, "golden")

    assert asked == ["Count.", "Still there?"]
    assert [message.turn for message in chat.messages()] == [3, 4, 4, 5, 5]
    assert_whole(memory)


def test_a_chat_that_is_in_use_stays_when_all_its_turns_go(memory):
    run(memory, """update "chats" set "updated_at" = now()::timestamp""")

    counts = counted(memory.purge("1d"))

    assert counts == {**NOTHING, "messages": 7, "tool_calls": 3, "requests": 6}
    [chat] = rows(memory, "chats")
    assert chat["head_message_id"] is None
    assert chat["name"] == "golden"
    assert_whole(memory)
    assert nbchat.load_chat("golden", store=memory).messages() == []


def test_a_head_that_went_becomes_the_last_message_that_stays(memory):
    [(old,)] = run(memory, 'select "id" from "messages" where "seq" = 2')
    run(memory, 'update "chats" set "head_message_id" = ?', old)

    memory.purge("25d")

    [(head, last)] = run(
        memory,
        'select c."head_message_id", (select arg_max("id", "seq") from "messages") from "chats" c',
    )
    assert head == last
    assert_whole(memory)


def test_a_branch_whose_beginning_went_begins_later(memory):
    [(old,)] = run(memory, 'select "id" from "messages" where "seq" = 4')
    run(
        memory,
        """update "messages" set "parent_id" = ? where "turn" = 4 and "role" = 'user'""",
        old,
    )

    memory.purge("25d")

    beginnings = run(memory, 'select "turn" from "messages" where "parent_id" is null order by 1')
    assert beginnings == [(3,), (4,)]
    assert_whole(memory)


def lose_their_turn(store):
    """Have the tool calls and the requests belong to a turn that has no message."""
    for table in ("tool_calls", "requests"):
        run(store, f'update "{table}" set "turn" = 99')


def test_tool_calls_and_requests_without_a_turn_go_by_their_own_beginning(memory):
    lose_their_turn(memory)
    began = [row["started_at"] for row in rows(memory, "tool_calls")]

    assert counted(memory.purge("45d")) == NOTHING
    counts = counted(memory.purge("25d", dry_run=True))
    assert counts == counted(memory.purge("25d"))

    assert counts == {**NOTHING, "messages": 4, "tool_calls": 1, "requests": 3}
    assert [row["started_at"] for row in rows(memory, "tool_calls")] == sorted(began)[1:]


def test_what_tool_calls_without_a_turn_say_goes_too(memory):
    lose_their_turn(memory)

    memory.purge("1d", content_only=True)

    assert {row["result"] for row in rows(memory, "tool_calls")} == {None}
    assert {row["error_message"] for row in rows(memory, "requests")} == {None}


def test_a_chat_whose_last_turn_is_old_goes_with_all_that_hangs_on_it(memory):
    fresh = nbchat.create_chat("function/x", store=memory, name="fresh", respond=scripted(["hi"]))
    fresh.ask("hello")
    counts = counted(memory.purge(timedelta(days=5)))

    assert counts == {
        "chats": 1, "messages": 7, "tool_calls": 3, "requests": 6, "agent_sessions": 1
    }  # fmt: skip
    assert list(nbchat.list_chats(store=memory)["name"]) == ["fresh"]
    assert [message.content for message in fresh.messages()] == ["hello", "hi"]
    assert_whole(memory)


def test_a_chat_in_which_nothing_was_ever_said_goes_when_it_is_old():
    store = nbchat.open_store(":memory:")
    nbchat.create_chat("function/x", store=store, respond=scripted([]))

    assert counted(store.purge("1h")) == NOTHING
    assert counted(store.purge("0min")) == {**NOTHING, "chats": 1}


def test_a_chat_that_was_never_asked_goes_by_its_creation_whatever_was_changed_since():
    store = nbchat.open_store(":memory:")
    chat = nbchat.create_chat("function/x", store=store, name="prepared", respond=scripted([]))
    run(store, """update "chats" set "created_at" = now()::timestamp - interval 100 day,
        "updated_at" = now()::timestamp - interval 100 day""")  # fmt: skip
    chat.rename("renamed today")

    assert counted(store.purge("101d")) == NOTHING
    assert counted(store.purge("99d")) == {**NOTHING, "chats": 1}


def test_content_goes_and_every_metric_stays(memory):
    before = everything(memory)
    questions = [memory.sql(sql) for sql in (
        "select * exclude (question, answer) from turns order by all",
        "select * from requests_priced order by all",
    )]  # fmt: skip
    stats = [nbchat.stats(by=by, store=memory) for by in (None, "model", "status", "tool", "day")]

    counts = counted(memory.purge("1h", content_only=True))

    said = sum(row["error_message"] is not None for row in before["requests"])
    assert said > 0
    assert counts == {**NOTHING, "messages": 7, "tool_calls": 3, "requests": said}
    after = everything(memory)
    assert after["chats"] == before["chats"]
    assert after["agent_sessions"] == before["agent_sessions"]
    for was, now in zip(before["messages"], after["messages"], strict=True):
        assert now["content_removed_at"] is not None
        assert now == {
            **was, "content": "", "parts": [], "thinking_text": None, "thinking_signature": None,
            "raw": None, "error": was["error"] and {"type": was["error"]["type"]},
            "content_removed_at": now["content_removed_at"],
        }  # fmt: skip
    for was, now in zip(before["tool_calls"], after["tool_calls"], strict=True):
        nothing = dict.fromkeys(("result", "error", "thought", "thought_signature"))
        assert now == {**was, "arguments": {}, **nothing}
    for was, now in zip(before["requests"], after["requests"], strict=True):
        assert now == {**was, "error_message": None}
    assert [row["error"] for row in after["messages"] if row["error"]] == [{"type": "BadRequest"}]
    for sql, was in zip(
        (
            "select * exclude (question, answer) from turns order by all",
            "select * from requests_priced order by all",
        ),
        questions,
        strict=True,
    ):
        pd.testing.assert_frame_equal(memory.sql(sql), was)
    for by, was in zip((None, "model", "status", "tool", "day"), stats, strict=True):
        pd.testing.assert_frame_equal(nbchat.stats(by=by, store=memory), was)
    assert_whole(memory)


def test_content_of_later_turns_stays(memory):
    before = everything(memory)

    memory.purge("25d", content_only=True)

    after = everything(memory)
    for table in ("messages", "tool_calls", "requests"):
        later = [row for row in before[table] if row["turn"] > 2]
        assert [row for row in after[table] if row["turn"] > 2] == later


def test_turns_without_content_are_left_out_of_what_is_sent(memory):
    memory.purge("15d", content_only=True)

    assert asked_in(memory, "golden")[1] == ["Count.", "Still there?"]


def test_content_that_was_removed_before_keeps_its_time(memory):
    memory.purge("25d", content_only=True)
    said = sum(row["error_message"] is not None for row in rows(memory, "requests"))
    first = [row["content_removed_at"] for row in rows(memory, "messages") if row["turn"] < 3]

    counts = counted(memory.purge("1h", content_only=True))

    assert counts == {**NOTHING, "messages": 3, "tool_calls": 2, "requests": said}
    assert first == [
        row["content_removed_at"] for row in rows(memory, "messages") if row["turn"] < 3
    ]


@pytest.mark.parametrize("content_only", [False, True], ids=["whole", "content"])
def test_a_running_turn_of_another_process_is_never_touched(path, start, content_only):
    child = waiting(start, path)
    store = nbchat.open_store(path)
    before = everything(store)

    assert counted(store.purge("0min", content_only=content_only)) == NOTHING
    assert everything(store) == before

    let_end(child)
    counts = counted(store.purge("0min", content_only=content_only))
    assert counts["messages"] == 2
    assert_whole(store)


def test_answers_beside_the_store_go_with_their_chat(store):
    chats = [
        nbchat.create_chat("function/x", store=store, name=name, respond=scripted([["hello"]]))
        for name in ("old", "new")
    ]
    answers = [chat.ask("hi") for chat in chats]
    run(
        store,
        """update "chats" set "updated_at" = now()::timestamp - interval 9 day
        where "name" = 'old'""",
    )
    places = [store.keep(answer, []) for answer in answers]
    # as torn as a file can be that still says whose it is, so that neither is taken in
    for place in places:
        record = json.loads(place.read_text())
        del record["requests"]
        place.write_text(json.dumps(record))

    store.purge("8d", dry_run=True)
    assert [place.exists() for place in places] == [True, True]

    assert counted(store.purge("8d"))["chats"] == 1
    assert [place.exists() for place in places] == [False, True]


def test_what_was_said_leaves_the_bytes_of_the_file_with_compact(store, path):
    fill(store)
    chat = nbchat.load_chat("golden", store=store, respond=lambda request: "A secret answer.")
    chat.ask("A secret question?")
    store.purge("0min", content_only=True)
    store.compact()
    store.close()

    content = path.read_bytes()

    assert b"secret answer" not in content
    assert b"secret question" not in content
    assert_whole(store)


def plain(row):
    """A row without what differs from run to run."""
    return {
        name: value is not None if name in TIMES else value
        for name, value in row.items()
        if name not in IDS and not name.endswith("_ms")
    }


def ask_all(store, *, log_content):
    """A turn with tools and thinking, one that fails, one that a tool ends."""

    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    def forbid() -> None:
        """Never allowed."""
        raise nbchat.ToolError("not for your eyes", fatal=True)

    script = [
        [Thinking("hm", "signed"), "Look: ", ToolCall("double", {"number": 2}), ToolCall("nope")],
        ["It is 4.", Usage(7, 3)],
        nbchat.BadRequest("no, because of what was said", status=400),
        ["I shall try.", ToolCall("forbid")],
    ]
    chat = nbchat.create_chat(
        "function/x",
        store=store,
        tools=[double, forbid],
        log_content=log_content,
        respond=scripted(script),
    )
    chat.ask("Double 2.")
    with pytest.raises(nbchat.BadRequest):
        chat.ask("This fails.")
    with pytest.raises(nbchat.ToolError):
        chat.ask("Forbidden.")


@pytest.mark.parametrize("table", ["messages", "tool_calls", "requests"])
def test_a_turn_whose_content_went_is_as_one_whose_content_was_never_kept(table):
    purged, never = nbchat.open_store(":memory:"), nbchat.open_store(":memory:")
    ask_all(purged, log_content=True)
    ask_all(never, log_content=False)

    purged.purge("0min", content_only=True)

    assert sorted(map(str, map(plain, rows(purged, table)))) == sorted(
        map(str, map(plain, rows(never, table)))
    )
    assert counted(never.purge("0min", content_only=True)) == NOTHING
