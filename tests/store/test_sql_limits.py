"""Ad hoc SQL within limits: beyond one it is refused, and the store is usable at once."""

import duckdb
import pandas as pd
import pytest

import nbchat

ENDLESS = {
    "a cross join": "select count(*) from range(10000000000) a, range(10000000000) b",
    "a recursive CTE": "with recursive t(n) as (select 1 union all select n + 1 from t) "
    "select count(*) from t",
    "a recursive CTE with a key": "with recursive t(k, n) using key (k) as "
    "(select 1, 1 union select k, n + 1 from t) from t",
    "a scan": "select max(i::varchar) from range(100000000000) t(i)",
    "a fetch": "select i, 'row ' || i as t from range(10000000000) t(i)",
    "a sleep": "select sleep_ms(10000000)",
    "an EXPLAIN ANALYZE": "explain analyze select count(*) from range(10000000000) a, "
    "range(10000000000) b",
    "a PIVOT": "pivot (select i, i % 100 as j from range(10000000000) t(i)) on j using sum(i)",
}
WHOLE = "select i::varchar || repeat('x', 100) as t from range(5000000) r(i) order by random()"


@pytest.fixture(params=["file", "memory"])
def place(request, path):
    """A store in a file, or in memory."""
    with nbchat.open_store(path if request.param == "file" else ":memory:") as opened:
        yield opened


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_question_that_takes_too_long_is_ended_and_the_store_goes_on(place, sql):
    with pytest.raises(nbchat.SqlRefused) as refused:
        place.sql(sql, timeout=0.2)

    assert str(refused.value) == (
        "The question took longer than the 0.2 seconds allowed. Ask about less, or allow more."
    )
    assert place.sql("select count(*) as n from chats", timeout=60)["n"].tolist() == [0]


def test_too_long_a_write_leaves_nothing_written(place):
    place.sql("create table notes (n bigint)", write=True)

    with pytest.raises(nbchat.SqlRefused, match="took longer than"):
        place.sql(
            "insert into notes values (1); insert into notes from range(1000000000000)",
            write=True,
            timeout=0.2,
        )
    with pytest.raises(nbchat.SqlRefused, match="more rows than the 1 allowed"):
        place.sql("insert into notes values (2), (3) returning n", write=True, max_rows=1)

    assert place.sql("from notes")["n"].tolist() == []


@pytest.mark.parametrize(
    "sql",
    [
        "select i from range(3) t(i)",
        "from range(10000000000)",
        "select uuid() as id from range(3)",
        "show tables",
        "pivot (select i, i % 2 as j from range(9) t(i)) on j using count(*) group by i",
    ],
)
def test_an_answer_with_too_many_rows_is_refused(place, sql):
    with pytest.raises(nbchat.SqlRefused) as refused:
        place.sql(sql, max_rows=2)

    assert str(refused.value) == (
        "The answer has more rows than the 2 allowed. Add a LIMIT, or aggregate."
    )


def test_an_answer_within_the_limits_is_the_same_as_without(place):
    sql = "select i, uuid() is not null as u from range(50000) t(i) order by i desc"

    within = place.sql(sql, max_rows=50_000, timeout=60)

    pd.testing.assert_frame_equal(within, place.sql(sql))
    assert len(place.sql("select 1 where false", max_rows=1)) == 0


@pytest.mark.parametrize("max_memory", ["64MB", "64 mib", 64_000_000])
def test_too_much_memory_is_refused_in_words_and_nothing_is_spilled(
    store, tmp_path, monkeypatch, max_memory
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(nbchat.SqlRefused, match="needs more memory than the 64"):
        store.sql(f"select max(t) from ({WHOLE})", max_memory=max_memory)

    store.close()
    assert not [*tmp_path.glob(".tmp*")]
    assert store.sql("select 1 as n", max_memory=max_memory)["n"].tolist() == [1]


def test_memory_that_is_not_enough_for_any_question_is_refused_too(store):
    with pytest.raises(nbchat.SqlRefused, match="needs more memory than the 1B allowed"):
        store.sql("select 1", max_memory=1)

    assert store.sql("select 1 as n")["n"].tolist() == [1]


def test_memory_is_limited_only_for_questions_about_files(store):
    memory = nbchat.open_store(":memory:")

    with pytest.raises(nbchat.ConfigError, match="max_memory is for stores in files"):
        memory.sql("select 1", max_memory="1GB")
    with pytest.raises(nbchat.ConfigError, match="max_memory is for questions that only read"):
        store.sql("select 1", write=True, max_memory="1GB")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_rows", value) for value in (0, -1, True, 1.5, "5", 2**63)],
        *[("timeout", value) for value in (0, -1, True, "5", float("nan"), float("inf"), 10**30)],
        *[("max_memory", value) for value in (0, -1, True, 1.5, "", "0MB", "80%", "lots", "512")],
        ("max_memory", "1GB'; select '"),
    ],
)
def test_a_limit_that_makes_no_sense_is_a_config_error(store, name, value):
    with pytest.raises(nbchat.ConfigError) as wrong:
        store.sql("select 1", **{name: value})

    assert str(wrong.value).startswith(f"{name}={value!r} is not a")


def test_limits_hold_for_stores_with_names_and_a_schema_of_their_own(path):
    names = {"chat": "Assistant Chat", "message": "select"}
    chat = nbchat.create_chat(
        "function/x",
        store=nbchat.open_store(path, table_names=names, schema="odd schema"),
        respond=lambda request: "fine",
    )
    chat.ask("Hello")
    limits = {"max_rows": 2, "timeout": 60, "max_memory": "1GB", "store": chat.store}

    roles = nbchat.sql('select role from "select" order by seq', **limits)["role"]
    turns = nbchat.sql('from "Assistant Chat_turns"', **limits)["turn"]

    assert (roles.tolist(), turns.tolist()) == (["user", "assistant"], [1])
    with pytest.raises(nbchat.SqlRefused, match="more rows than the 1 allowed"):
        nbchat.sql('from "select"', **{**limits, "max_rows": 1})


def test_other_processes_may_have_the_file_once_the_question_was_ended(store):
    with pytest.raises(nbchat.SqlRefused):
        store.sql(ENDLESS["a cross join"], timeout=0.2)

    store.close()

    with duckdb.connect(store.path) as another:
        assert another.execute("select count(*) from chats").fetchone() == (0,)
