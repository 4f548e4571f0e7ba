"""Usage: fixed columns and dtypes whatever the store holds, and sums that anyone can redo."""

import datetime as dt

import pandas as pd
import pytest
import seeded

import nbchat

TOKENS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "thinking_tokens",
)
NUMBERS = {
    **dict.fromkeys(("turns", "requests", "failed_requests", "tool_calls"), "Int64"),
    **dict.fromkeys(TOKENS, "Int64"),
    "cost_usd": "Float64",
    "cost_complete": "boolean",
    "duration_ms": "Float64",
}
TOOL_NUMBERS = {
    **NUMBERS,
    "failed_tool_calls": "Int64",
    **dict.fromkeys(("mean_ms", "max_ms"), "Float64"),
}
TIME = "datetime64[us, UTC]"
KEYS = {
    "model": "string",
    "provider": "string",
    "chat": "string",
    "status": "string",
    "agent": "string",
    "metadata.user_id": "string",
    "turn": "Int64",
    "day": TIME,
}
CHATS = {
    "id": "string",
    "name": "string",
    "model": "string",
    "turns": "Int64",
    "cost_usd": "Float64",
    "cost_complete": "boolean",
    "created_at": TIME,
    "updated_at": TIME,
    "archived_at": TIME,
    "metadata": "string",
    "pinned": "boolean",
}
MESSAGES = {
    **dict.fromkeys(("id", "chat_id", "parent_id"), "string"),
    **dict.fromkeys(("seq", "turn"), "Int64"),
    **dict.fromkeys(("role", "status", "content"), "string"),
    **dict.fromkeys(("thinking_text", "thinking_signature"), "string"),
    **dict.fromkeys(TOKENS, "Int64"),
    "cost_usd": "Float64",
    **dict.fromkeys(("model", "provider", "finish_reason", "parts", "raw", "error"), "string"),
    **dict.fromkeys(("created_at", "finished_at", "content_removed_at"), TIME),
}
KINDS = list(seeded.SEEDS)


def dtypes(frame):
    return [(name, str(dtype)) for name, dtype in frame.dtypes.items()]


def plain(frame):
    """The rows as lists, None for what is unknown."""
    return frame.astype(object).where(frame.notna(), None).values.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_is_one_row_with_fixed_columns(stores, kind):
    frame = nbchat.stats(store=stores[kind])

    assert len(frame) == 1
    assert dtypes(frame) == list(NUMBERS.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", KEYS)
def test_every_key_has_fixed_columns_with_itself_first(stores, kind, by):
    frame = nbchat.stats(by, store=stores[kind])

    assert dtypes(frame) == [(by, KEYS[by]), *NUMBERS.items()]
    assert (len(frame) == 0) == (kind == "empty")


@pytest.mark.parametrize("kind", KINDS)
def test_tools_have_fixed_columns(stores, kind):
    frame = nbchat.stats("tool", store=stores[kind])

    assert dtypes(frame) == [("tool", "string"), *TOOL_NUMBERS.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_chats_and_messages_have_fixed_columns(stores, kind):
    store = stores[kind]
    asked = nbchat.list_chats(store=store)["id"].tolist()
    unasked = nbchat.create_chat("function/x", store=nbchat.open_store(":memory:"))
    chats = [*(nbchat.load_chat(id_, store=store) for id_ in asked), unasked]

    assert dtypes(nbchat.list_chats(store=store)) == list(CHATS.items())
    for chat in chats:
        assert dtypes(chat.messages(as_frame=True)) == list(MESSAGES.items())
        assert dtypes(chat.stats()) == list(NUMBERS.items())
        assert dtypes(chat.stats("tool")) == [("tool", "string"), *TOOL_NUMBERS.items()]
        for by in ("model", "turn", "day", "status"):
            assert dtypes(chat.stats(by)) == [(by, KEYS[by]), *NUMBERS.items()]


def test_an_empty_store_used_nothing(stores):
    row = plain(nbchat.stats(store=stores["empty"]))

    assert row == [[0] * 9 + [0.0, True, 0.0]]


def test_what_is_unknown_is_never_zero(stores):
    row = nbchat.stats(store=stores["unknown"]).iloc[0]

    assert row[["turns", "requests", "failed_requests"]].tolist() == [2, 2, 0]
    assert row[[*TOKENS, "cost_usd"]].isna().all()
    assert not row["cost_complete"]


def rows_of(store, table):
    """The rows as Python has them, each with what one may group it by."""
    return store.sql(
        f"""
        select t.*, c.metadata ->> 'user_id' as user_id, s.agent_class as agent,
          coalesce(v.status, '') as turn_status, v.model as turn_model, v.provider as turn_provider
        from {table} t
        join chats c on c.id = t.chat_id
        left join agent_sessions s on s.chat_id = t.chat_id
        left join turns v on v.chat_id = t.chat_id and v.turn = t.turn
        """
    )


KEY_COLUMNS = {
    "model": "turn_model",
    "provider": "turn_provider",
    "chat": "chat_id",
    "status": "turn_status",
    "agent": "agent",
    "metadata.user_id": "user_id",
    "turn": "turn",
}


def summed(values):
    known = [value for value in values if not pd.isna(value)]
    return sum(known) if known else None


def expected_row(asked, requests, calls):
    cost_known = requests["cost_usd"].notna() | ~(
        requests["status_code"].fillna(0).between(200, 299) | (requests["error_type"] == "Stopped")
    ).astype(bool)
    failed = requests["error_type"].notna() & (requests["error_type"] != "Stopped")
    tokens = [summed(requests[name]) if len(requests) else 0 for name in TOKENS]
    cost = summed(requests["cost_usd"])
    if cost is None and cost_known.all():
        cost = 0  # what was refused cost nothing
    return [
        len(asked),
        len(requests),
        int(failed.sum()),
        len(calls),
        *tokens,
        cost if cost is None else pytest.approx(cost),
        bool(cost_known.all()),
        pytest.approx(sum(requests["duration_ms"])),
    ]


def test_the_whole_is_the_sum_of_the_rows(mixed):
    messages = rows_of(mixed, "messages")

    whole = plain(nbchat.stats(store=mixed))

    asked = messages[messages["role"] == "user"]
    assert whole == [expected_row(asked, rows_of(mixed, "requests"), rows_of(mixed, "tool_calls"))]
    assert whole[0][:4] == [6, 9, 2, 4]


@pytest.mark.parametrize("by", KEY_COLUMNS)
def test_every_group_is_the_sum_of_its_rows(mixed, by):
    column = KEY_COLUMNS[by]
    asked = rows_of(mixed, "messages").query("role == 'user'")
    requests, calls = rows_of(mixed, "requests"), rows_of(mixed, "tool_calls")

    groups = {row[0]: row[1:] for row in plain(nbchat.stats(by, store=mixed))}

    def of(rows, key):
        return rows[rows[column].isna() if key is None else rows[column] == key]

    keys = {None if pd.isna(key) else key for key in asked[column]}
    assert groups == {
        key: expected_row(of(asked, key), of(requests, key), of(calls, key)) for key in keys
    }


def test_days_are_utc_days_in_order(mixed):
    frame = nbchat.stats("day", store=mixed)

    days = mixed.sql("select distinct created_at::date as day from messages order by day")
    assert frame["day"].tolist() == days["day"].tolist()
    assert frame["turns"].sum() == 6


def test_turns_are_ordered_as_numbers(stores):
    with nbchat.open_store(":memory:") as store:
        chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "yes")
        for number in range(11):
            chat.ask(str(number))

        assert chat.stats("turn")["turn"].tolist() == list(range(1, 12))


def test_tools_are_counted_by_how_they_ended(mixed):
    frame = nbchat.stats("tool", store=mixed)

    counts = plain(frame[["tool", "turns", "tool_calls", "failed_tool_calls"]])
    assert counts == [["add", 1, 2, 1], ["fail", 1, 1, 1], ["nope", 1, 1, 1]]
    assert frame[["requests", *TOKENS, "cost_usd", "cost_complete"]].isna().all(axis=None)
    rows = mixed.sql("select name, duration_ms from tool_calls")
    for row in frame.itertuples():
        took = rows[rows["name"] == row.tool]["duration_ms"].dropna()
        known = [ms for ms in (row.mean_ms, row.max_ms) if ms is not pd.NA]
        assert row.duration_ms == pytest.approx(took.sum())
        assert known == pytest.approx([took.mean(), took.max()] if len(took) else [])


def test_a_chat_counts_its_own_only(mixed):
    whole = nbchat.stats(store=mixed)
    chats = [
        nbchat.load_chat(id_, store=mixed).stats() for id_ in nbchat.list_chats(store=mixed)["id"]
    ]

    together = pd.concat(chats)

    counts = ["turns", "requests", "failed_requests", "tool_calls", *TOKENS]
    assert together[counts].sum().tolist() == whole[counts].iloc[0].tolist()
    assert together["turns"].tolist() == [4, 2]


def test_cost_is_complete_only_where_every_price_is_known(mixed):
    frame = nbchat.stats("model", store=mixed)

    assert plain(frame[["model", "cost_complete"]]) == [["function/a", True], ["function/b", False]]
    assert frame["cost_usd"].tolist() == pytest.approx([3 * 0.000123456789, 0.000123456789])


def test_a_list_of_chats_counts_turns_and_cost(mixed):
    frame = nbchat.list_chats(store=mixed)

    assert plain(frame[["model", "turns", "cost_complete"]]) == [
        ["function/b", 4, False],
        ["function/a", 2, True],
    ]
    assert frame["cost_usd"].tolist() == pytest.approx([0.000123456789, 3 * 0.000123456789])
    assert (frame["updated_at"] >= frame["created_at"]).all()


@pytest.mark.parametrize(
    ("bounds", "turns"),
    [
        ({"since": "2000-01-01"}, 6),
        ({"since": dt.date(2000, 1, 1), "until": dt.datetime(9000, 1, 1)}, 6),
        ({"until": "2000-01-01"}, 0),
        ({"since": dt.datetime(9000, 1, 1, tzinfo=dt.UTC)}, 0),
    ],
    ids=repr,
)
def test_bounds_cut_what_is_outside(mixed, bounds, turns):
    assert nbchat.stats(store=mixed, **bounds)["turns"].tolist() == [turns]
    assert len(nbchat.stats("tool", store=mixed, **bounds)) == (3 if turns else 0)


def test_since_is_within_and_until_is_not(mixed):
    times = mixed.sql("select created_at from messages where role = 'user' order by created_at")
    third = times["created_at"][2].to_pydatetime()
    elsewhere = third.astimezone(dt.timezone(dt.timedelta(hours=9)))

    assert nbchat.stats(store=mixed, since=third)["turns"].tolist() == [4]
    assert nbchat.stats(store=mixed, until=third)["turns"].tolist() == [2]
    assert nbchat.stats(store=mixed, until=elsewhere)["turns"].tolist() == [2]
    assert nbchat.stats(store=mixed, since=third.isoformat())["turns"].tolist() == [4]


@pytest.mark.parametrize(
    "by", ["", "colour", "metadata", "metadata.", "model.x", "Model", 5, ["a"]]
)
def test_an_unknown_key_is_refused_with_those_there_are(mixed, by):
    with pytest.raises(nbchat.ConfigError, match=r"Use one of: model, turn, .*metadata\.KEY"):
        nbchat.stats(by, store=mixed)


@pytest.mark.parametrize("by", ["chat", "provider", "agent", "metadata.user_id"])
def test_a_chat_has_no_keys_of_the_store(mixed, by):
    chat = nbchat.load_chat(nbchat.list_chats(store=mixed)["id"][0], store=mixed)

    with pytest.raises(nbchat.ConfigError, match="Use one of: model, turn, tool, day, status"):
        chat.stats(by)


@pytest.mark.parametrize("time", ["soon", "2026-13-01", 5, object()])
def test_what_is_no_time_is_refused(mixed, time):
    with pytest.raises(nbchat.ConfigError, match="is not a time"):
        nbchat.stats(store=mixed, since=time)


def test_deleting_a_chat_deletes_all_that_hangs_on_it():
    with nbchat.open_store(":memory:") as store:
        seeded.mixed(store)
        gone, kept = nbchat.list_chats(store=store)["id"]
        tables = ("chats", "messages", "requests", "tool_calls", "agent_sessions")

        nbchat.delete_chat(gone, store=store)

        owner = {table: "id" if table == "chats" else "chat_id" for table in tables}
        left = {
            table: store.sql(f"select distinct {owner[table]} as chat from {table}")[
                "chat"
            ].tolist()
            for table in tables
        }
        assert left == {table: [kept] for table in tables}
        with pytest.raises(nbchat.StoreError, match="No chat is called"):
            nbchat.delete_chat(gone, store=store)
