"""Ad hoc SQL: questions are answered, everything else is refused and leaves no trace."""

import hashlib
import signal

import duckdb
import pandas as pd
import pytest

import nbchat
from nbchat.messages import ToolCall

# {store} is the store's own file, which DuckDB lets SQL reach; {dir} its folder
HOSTILE = [
    # COPY, wherever the grammar lets one stand
    "copy (select 1) to '{store}'",
    "copy messages to '{dir}/out.csv'",
    "copy from database store to memory",
    "with x as (copy (select 1) to '{store}' (use_tmp_file false)) select 1",
    "with x as materialized (copy (select 1) to '{store}') from x",
    "with a as (select 1), b as (with c as (copy (select 1) to '{store}') from c) from b",
    "select * from (with x as (copy (select 1) to '{store}') select 1)",
    "select (with x as (copy (select 1) to '{store}') select count(*) from x)",
    "select 1 union all (with x as (copy (select 1) to '{store}') select 1)",
    "select 1 where 1 in (with x as (copy (select 1) to '{store}') select 1)",
    "from messages m, lateral (with x as (copy (select 1) to '{store}') select 1)",
    "with recursive t(n) as (with x as (copy (select 1) to '{store}') select 1 union all "
    "select n + 1 from t where n < 3) from t",
    "describe with x as (copy (select 1) to '{store}') select 1",
    "summarize with x as (copy (select 1) to '{store}') select 1",
    "explain copy (select 1) to '{store}'",
    "explain analyze copy (select 1) to '{store}'",
    "explain analyze with x as (copy (select 1) to '{store}') select 1",
    "explain (analyze) with x as (copy (select 1) to '{store}') select 1",
    "explain (analyze, format json) copy (select 1) to '{store}'",
    "with x as (CoPy/**/(select 1) to '{store}') select 1",
    "with x as (copy--\n(select 1) to '{store}') select 1",
    "with x as (copy\u00a0(select 1) to '{store}') select 1",
    "with x as (copy (select 1) to '{store}') pivot messages on role using count(*)",
    "with x as (copy\u200b(select 1) to '{store}') pivot messages on role using count(*)",
    "with \"日本語日本語\" as (select '😀😀'), x as (copy (select 1) to '{store}') "
    "pivot messages on role using count(*)",
    "explain analyze with x as (copy (select 1) to '{store}') "
    "pivot messages on role using count(*)",
    # what EXPLAIN is given must be checked whole, whatever its brackets look like
    "explain analyze (with x as (delete from chats where name <> ') select 2 -- ' returning *) "
    "select 1)",
    # writes that DuckDB calls a SELECT
    "with x as (insert into chats select * from chats returning *) from x",
    "with x as (update chats set name = 'x' returning *) from x",
    "with x as (delete from chats returning *) from x",
    "with x as (truncate chats) select 1",
    "with x as (delete from chats returning *) pivot messages on role using count(*)",
    "explain analyze create temp table x as select 1",
    "explain analyze delete from chats",
    "explain insert into chats select * from chats",
    # SQL hidden in strings
    "from query('copy (select 1) to ''{store}''')",
    "from \"query\"('select 1')",
    "from system.main.query('select 1')",
    "from query('from json_execute_serialized_sql(json_serialize_sql(''select 1''))')",
    "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "from \"json_execute_serialized_sql\"(json_serialize_sql('select 1'))",
    "from json_execute_serialized_sql\u00a0(json_serialize_sql('select 1'))",
    "pragma json_execute_serialized_sql('x')",
    "pivot (from query('select 1 as a')) on a using count(*)",
    "pivot (from \"query\" /**/ ('select 1 as a')) on a using count(*)",
    "from query_table('{store}')",
    "prepare p as select 1",
    "execute p",
    "deallocate p",
    # files, also the store's own, which DuckDB lets SQL read
    "from read_blob('{store}')",
    "from read_text('{store}')",
    "from read_duckdb('{store}', table_name = 'messages')",
    "from '{store}'",
    'from "{store}"',
    "from glob('{dir}/*')",
    "from '{dir}/secret.csv'",
    'from "{dir}/secret.csv"',
    "from read_csv('{dir}/secret.csv')",
    "from read_csv_auto(['{dir}/secret.csv'])",
    "from sniff_csv('{dir}/secret.csv')",
    "from read_json('{dir}/secret.csv')",
    "from read_parquet('{dir}/secret.csv')",
    "from parquet_metadata('{dir}/secret.csv')",
    "describe '{dir}/secret.csv'",
    "summarize from read_csv('{dir}/secret.csv')",
    "select (select count(*) from read_csv('{dir}/secret.csv'))",
    "select 1 union all select a from '{dir}/secret.csv'",
    "select * from messages, lateral (from read_text('{dir}/secret.csv'))",
    "select * from messages positional join read_csv('{dir}/secret.csv')",
    "with recursive t as (from read_csv('{dir}/secret.csv')) from t",
    "pivot (from read_csv('{dir}/secret.csv')) on a using count(*)",
    "pivot '{dir}/secret.csv' on a using count(*)",
    "unpivot (from read_csv('{dir}/secret.csv')) on a, b",
    "from 'https://example.invalid/x.csv'",
    "from sqlite_scan('{store}', 'messages')",
    "from files_beside",
    "select read_secret()",
    # the process and its settings
    "from local_frame",
    "from duckdb_settings()",
    "from duckdb_secrets()",
    "from which_secret('s3://x', 's3')",
    "from pandas_scan(1)",
    "from arrow_scan(1, 2, 3)",
    "from enable_logging(storage = 'file', storage_path = '{dir}/log')",
    "from enable_profiling()",
    "from checkpoint()",
    "from force_checkpoint()",
    "from truncate_duckdb_logs()",
    "from create_external_resource('x')",
    "select getenv('HOME')",
    "call enable_logging()",
    "set threads = 1",
    "set variable x = 1",
    "reset threads",
    "pragma database_list",
    "pragma enable_profiling",
    "call pragma_version()",
    "update extensions",
    # everything else that is not a question
    "attach '{dir}/other.duckdb' as other",
    "detach store",
    "use memory",
    "install httpfs",
    "load json",
    "export database '{dir}/export'",
    "import database '{dir}/export'",
    "checkpoint",
    "force checkpoint",
    "vacuum",
    "analyze",
    "begin",
    "commit",
    "create table x (a int)",
    "create temp table x (a int)",
    "create or replace temp view chats as select 1",
    "create macro f() as 1",
    "create secret x (type s3)",
    "insert into chats default values",
    "update chats set name = 'x'",
    "delete from chats",
    "truncate chats",
    "drop table messages",
    "alter table messages add column x int",
    "comment on table messages is 'x'",
    "select 1; delete from chats",
    "select 1; select 2",
    "select 1 /* ; */ ; -- \n delete from chats",
    "explain select 1; delete from chats",
    "",
    ";",
    "-- nothing",
    "select 'half a \ud800 pair'",
    "selekt 1",
]

QUESTIONS = {
    "select count(*) as n from messages": 2,
    "with m as (from messages) select count(*) from m": 2,
    "from messages select count(*)": 2,
    "select count(*) from (table messages)": 2,
    "values (7)": 7,
    "select 1;": 1,
    "select 1 -- copy": 1,
    "/* copy */ select 1": 1,
    "select count(*) from messages where content ilike '%copy%'": 1,
    "select 'copy'": "copy",
    "select $$copy, query('x')$$": "copy, query('x')",
    "select 'delete from chats; drop table x'": "delete from chats; drop table x",
    "select 5 as \"copy\"": 5,
    "select '日本', 'copy'": "日本",
    "select 'a\u00a0b'": "a\u00a0b",
    "select arguments ->> 'city' from tool_calls": "Oslo",
    "with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) from t": 1,
    "select sum(n) from range(4) t(n)": 6,
    "select count(*) from json_each('[1, 2, 3]')": 3,
    "select count(*) from (unpivot (select 1 as a, 2 as b) on a, b)": 2,
    "select count(*) from (pivot messages on role in ('user') using count(*))": 2,
    "select count(*) from (show tables) where name = 'messages'": 1,
    "select count(*) from (describe chats)": 11,
    "select count(*) from (summarize chats)": 11,
    "select list_sum(list_transform([1, 2], lambda x: x + 1))": 5,
}  # fmt: skip

FRAMES = [
    "show tables",
    "describe messages",
    "describe select 1",
    "summarize messages",
    "explain select * from messages",
    "explain analyze select * from messages",
    "explain (format json) select * from messages",
    "/* why so slow? */ explain select 1",
    "explain pivot messages on role using count(*)",
    "pivot messages on role using count(*) group by chat_id",
    "with m as (from messages) pivot m on role using max(content) group by chat_id",
    "unpivot (select 1 as a, 2 as b) on a, b",
    "table messages",
]

DTYPES = """
select
  uuid() as uuid, [uuid()] as uuids, 1::tinyint as small, 1::bigint as whole, sum(1) as sum,
  1.5::decimal(18, 12) as money, 1.5::double as ratio, 'x' as text, '{{}}'::json as json,
  true as flag,
  date '2026-01-02' as day, timestamp '2026-01-02 03:04:05' as time,
  timestamp_s '2026-01-02 03:04:05' as second, timestamp_ns '2026-01-02 03:04:05' as nano
from range(1) group by all {rows}
"""


def respond(request):
    """Asks for the weather once."""
    if request.messages[-1].role == "user":
        return ToolCall("weather", {"city": "Oslo"}, "call-1")
    return "fine, as ever"


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@pytest.fixture
def asked(store):
    """A store with one chat, one turn and one tool call; and traps that its owner has set."""
    chat = nbchat.create_chat("function/x", store=store, respond=respond, tools=[weather])
    chat.ask("copy that for me")
    store.close()
    return store


@pytest.fixture
def trapped(asked, tmp_path):
    """The store with a view and a macro over a file, beside that file."""
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    with duckdb.connect(asked.path) as owner:
        owner.execute(f"create view files_beside as from read_csv('{tmp_path}/secret.csv')")
        owner.execute(
            f"create macro read_secret() as (select a from read_csv('{tmp_path}/secret.csv'))"
        )
    return asked


def state_of(folder):
    """What every file there holds; the lock file says who held it last."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock"
    }


def test_everything_that_is_no_question_is_refused_and_leaves_no_trace(
    trapped, tmp_path, monkeypatch
):
    local_frame = pd.DataFrame({"a": [1]})
    empty = tmp_path / "here"
    empty.mkdir()
    monkeypatch.chdir(empty)
    before = state_of(tmp_path)

    for sql in HOSTILE:
        with pytest.raises(nbchat.SqlRefused) as refused:
            trapped.sql(sql.format(store=trapped.path, dir=tmp_path))
        assert str(refused.value).strip(), sql
        assert state_of(tmp_path) == before, sql

    assert len(local_frame) == 1
    assert len(set(HOSTILE)) >= 100


def test_an_in_memory_store_refuses_the_same(tmp_path):
    with nbchat.open_store(":memory:") as store:
        (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
        before = state_of(tmp_path)

        for sql in HOSTILE:
            with pytest.raises(nbchat.SqlRefused):
                store.sql(sql.format(store=tmp_path / "new.duckdb", dir=tmp_path))

        assert state_of(tmp_path) == before
        assert store.sql("select count(*) as n from chats")["n"].tolist() == [0]


def test_a_refusal_says_why_in_a_sentence(asked):
    reasons = {
        "delete from chats": "This is not a question but DELETE. Write one SELECT, EXPLAIN, "
        "DESCRIBE, SHOW, SUMMARIZE or PIVOT; in Python, nbchat.sql(..., write=True) runs anything.",
        "select 1; select 2": "Ask one question at a time; this is 2 statements.",
        "with x as (delete from chats returning *) from x": "DELETE is hidden in this statement; "
        "questions only read.",
        "from read_csv('x')": "read_csv() is not allowed here: questions read the store's tables, "
        "no files and no settings, and run no other SQL.",
    }

    for sql, reason in reasons.items():
        with pytest.raises(nbchat.SqlRefused) as refused:
            asked.sql(sql)
        assert str(refused.value) == reason


def test_questions_are_answered(asked):
    answers = {sql: asked.sql(sql).iloc[0, 0] for sql in QUESTIONS}

    assert answers == QUESTIONS


def test_questions_about_the_store_give_frames(asked):
    for sql in FRAMES:
        assert len(asked.sql(sql)) > 0, sql


def test_parameters_are_values_and_never_sql(asked):
    text = "'; drop table messages; --"

    by_place = asked.sql("select ? as said, ? + 1 as next", [text, 41])
    by_name = asked.sql("select $said as said", {"said": text})

    assert by_place.to_dict("list") == {"said": [text], "next": [42]}
    assert by_name["said"].tolist() == [text]


def test_frames_are_asked_by_name_beside_tables(asked):
    people = pd.DataFrame({"role": ["user", "assistant"], "who": ["Ada", "the model"]})

    answer = asked.sql(
        "select p.who, m.seq from messages m join people p using (role) order by m.seq",
        frames={"people": people},
    )

    assert answer.to_dict("list") == {"who": ["Ada", "the model"], "seq": [1, 2]}


@pytest.mark.parametrize("name", ["messages", "Messages", "turns", "nbchat_version"])
def test_a_frame_may_not_hide_the_stores_own(asked, name):
    with pytest.raises(nbchat.SqlRefused, match="Rename it"):
        asked.sql("select 1", frames={name: pd.DataFrame({"a": [1]})})


def test_what_is_no_frame_is_refused(asked):
    with pytest.raises(nbchat.SqlRefused, match="'x' is not a frame"):
        asked.sql("from x", frames={"x": 5})


@pytest.mark.parametrize("rows", ["", "limit 0"])
def test_every_type_has_one_dtype_whatever_the_rows(asked, rows):
    frame = asked.sql(DTYPES.format(rows=rows))

    time = "datetime64[us, UTC]"
    expected = {
        "uuid": "string", "uuids": "object", "small": "Int64", "whole": "Int64", "sum": "Float64",
        "money": "Float64", "ratio": "Float64", "text": "string", "json": "string",
        "flag": "boolean", "day": time, "time": time, "second": time, "nano": time,
    }  # fmt: skip
    assert frame.dtypes.astype(str).to_dict() == expected


def test_nulls_do_not_change_a_dtype(asked):
    names = asked.sql(DTYPES.format(rows="")).columns.drop(["uuids"])
    nulls = ", ".join(f"nullif({name}, {name}) as {name}" for name in names)

    frame = asked.sql(f"select {nulls} from ({DTYPES.format(rows='')})")

    whole = asked.sql(DTYPES.format(rows="")).drop(columns="uuids")
    assert frame.isna().all(axis=None)
    assert frame.dtypes.to_dict() == whole.dtypes.to_dict()


def test_ids_are_text_and_columns_may_share_a_name(asked):
    frame = asked.sql('select id, chat_id as id, [id] as ids, id as "a ""b" from messages')

    row = frame.iloc[0].tolist()
    assert frame.columns.tolist() == ["id", "id", "ids", 'a "b']
    assert [type(row[0]), type(row[1]), type(row[2][0]), type(row[3])] == [str] * 4


def test_write_runs_any_sql_in_one_transaction(asked):
    asked.sql("create table notes (t varchar)", write=True)
    asked.sql("insert into notes values (?)", ["kept"], write=True)

    with pytest.raises(nbchat.StoreError):
        asked.sql("insert into notes values ('lost'); select error('no')", write=True)

    assert asked.sql("from notes")["t"].tolist() == ["kept"]


def test_ctrl_c_ends_a_long_question(asked, start):
    code = """
        import sys, nbchat
        store = nbchat.open_store(sys.argv[1])
        try:
            print("asking", flush=True)
            store.sql("select count(*) from range(10000000000) a, range(10000000000) b")
        except KeyboardInterrupt:
            print("stopped; then:", store.sql("select 7 as n")["n"][0])
    """
    process = start(code, asked.path)
    assert process.stdout.readline() == "asking\n"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (out, err, process.returncode) == ("stopped; then: 7\n", "", 0)
