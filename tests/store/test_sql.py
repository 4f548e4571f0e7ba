"""Ad hoc SQL: questions are answered, everything else is refused and leaves no trace."""

import hashlib
import shutil
import signal
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from harmless_sql import FRAMES, QUESTIONS
from hostile_sql import HOSTILE

import nbchat
from nbchat.messages import ToolCall

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


def filled(sql, store, folder):
    """The statement with the paths it is about."""
    return sql.replace("{store}", str(store)).replace("{dir}", str(folder))


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
    (empty / ".tmp").mkdir()
    (empty / ".tmp" / "secret.csv").write_text("a,b\n1,2\n")
    before = state_of(tmp_path)

    for sql in HOSTILE:
        with pytest.raises(nbchat.SqlRefused) as refused:
            trapped.sql(filled(sql, trapped.path, tmp_path))
        assert str(refused.value).strip(), sql
        trapped.close()
        assert state_of(tmp_path) == before, sql

    assert len(local_frame) == 1
    assert len(set(HOSTILE)) >= 150


def test_an_in_memory_store_refuses_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / "secret.csv").write_text("a,b\n1,2\n")
    with nbchat.open_store(":memory:") as store:
        (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
        before = state_of(tmp_path)

        for sql in HOSTILE:
            with pytest.raises(nbchat.SqlRefused):
                store.sql(filled(sql, tmp_path / "new.duckdb", tmp_path))

        assert state_of(tmp_path) == before
        assert store.sql("select count(*) as n from chats")["n"].tolist() == [0]


def test_a_view_that_hides_a_copy_cannot_overwrite_the_store(asked):
    hidden = f"with x as (copy (select 1) to '{asked.path}' (use_tmp_file false)) select 1 as a"
    asked.close()
    # DuckDB lets nobody write such a macro where the file that it overwrites is attached
    elsewhere = Path(asked.path).with_name("elsewhere.duckdb")
    shutil.move(asked.path, elsewhere)
    with duckdb.connect(str(elsewhere)) as stranger:
        stranger.execute(
            "create macro range(n) as table from json_execute_serialized_sql("
            + stranger.execute("select json_serialize_sql(?::varchar)", [hidden])
            .fetchone()[0]
            .replace("'", "''")
            .join("''")
            + ")"
        )
    Path(asked.path).unlink(missing_ok=True)
    shutil.move(elsewhere, asked.path)
    before = state_of(Path(asked.path).parent)

    with pytest.raises(nbchat.NbchatError):
        asked.sql("from store.main.range(1)")

    asked.close()
    assert state_of(Path(asked.path).parent) == before
    assert asked.sql("select count(*) as n from messages")["n"].tolist() == [2]


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
    assert len(QUESTIONS) + len(FRAMES) >= 85


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


@pytest.mark.parametrize(
    "sql",
    [
        "create table notes (t varchar); commit; select 1",
        "/* now */ BEGIN",
        "start transaction",
        "rollback",
        "end",
        "use memory; detach store",
        'detach database if exists "Store"',
    ],
)
def test_write_is_one_transaction_and_keeps_the_store_attached(asked, sql):
    with pytest.raises(nbchat.SqlRefused, match="not allowed here"):
        asked.sql(sql, write=True)

    assert "notes" not in asked.sql("from duckdb_tables()")["table_name"].tolist()
    assert asked.sql("select count(*) as n from messages")["n"].tolist() == [2]


@pytest.mark.parametrize(
    "given",
    [
        {"sql": 5},
        {"sql": None},
        {"sql": b"select 1"},
        {"sql": "select ?", "params": 5},
        {"sql": "select ?", "params": "text"},
        {"sql": "select 1", "frames": {1: pd.DataFrame()}},
        {"sql": "select 1", "frames": [1]},
        {"sql": "select 1", "frames": 5},
        {"sql": 5, "write": True},
        {"sql": "select ?", "params": 5, "write": True},
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(asked, given):
    with pytest.raises(nbchat.ConfigError, match=r"Give (it|one) "):
        asked.sql(**given)


def test_only_ids_become_text_and_never_what_is_called_like_their_type(asked):
    frame = asked.sql(
        """select {'UUID': id, 'my "UUID, ': [id]} as "UUID", map {id: 'UUID'} as by_id,
        'UUID'::enum('UUID', 'other') as kind from messages limit 1"""
    )

    id_ = asked.sql("select id from messages limit 1")["id"][0]
    assert frame.iloc[0].tolist() == [{"UUID": id_, 'my "UUID, ': [id_]}, {id_: "UUID"}, "UUID"]


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
