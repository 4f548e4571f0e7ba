"""`%chatsql` and `%%chatsql` in a real shell, over the store of the current chat."""

import pandas as pd
import pytest


def test_a_line_gives_a_frame(notebook):
    notebook.talk("yes").ask("really?")

    frame = notebook.run("%chatsql select role, content from messages order by seq")

    assert frame.to_dict("list") == {
        "role": ["user", "assistant"],
        "content": ["really?", "yes"],
    }
    assert "really?" in notebook.stdout


def test_a_cell_with_a_name_binds_and_shows_nothing(notebook):
    notebook.talk()

    assert notebook.run("%%chatsql found <<\nselect 1 as one;\n") is None

    assert notebook.names["found"]["one"].tolist() == [1]
    assert notebook.stdout == ""


def test_out_binds_too_and_a_line_can_be_assigned(notebook):
    notebook.talk()

    notebook.run("%chatsql -o found select 2 as n")
    notebook.run("other = %chatsql select 3 as n;")

    assert notebook.names["found"]["n"].tolist() == [2]
    assert notebook.names["other"]["n"].tolist() == [3]


def test_frames_of_the_notebook_are_seen_by_name(notebook):
    notebook.talk("a", "b").ask("x")
    notebook.names["budget"] = pd.DataFrame({"model": ["function/x"], "limit_usd": [5.0]})
    notebook.names["_private"] = pd.DataFrame({"x": [1]})

    frame = notebook.run(
        "%%chatsql\nselect c.model, Budget.limit_usd from chats c join Budget using (model)"
    )

    assert frame.to_dict("list") == {"model": ["function/x"], "limit_usd": [5.0]}


def test_a_table_of_the_store_goes_before_a_frame_of_its_name(notebook):
    notebook.talk("a").ask("x")
    notebook.names["messages"] = pd.DataFrame({"n": [1, 2, 3, 4, 5]})

    assert notebook.run("%chatsql select count(*) as n from messages")["n"].tolist() == [2]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from messages",
        "select 1; select 2",
        "copy messages to 'x.csv'",
        "select * from nowhere",
        "select from where",
    ],
)
def test_a_refused_question_is_one_line(notebook, sql):
    notebook.talk()

    notebook.run(f"%%chatsql\n{sql}")

    assert notebook.failed
    assert notebook.stderr.startswith("UsageError: ")
    assert notebook.stderr.count("\n") == 1
    assert not (notebook.folder / "x.csv").exists()


def test_no_sql_says_what_to_try(notebook):
    notebook.run("%chatsql")

    assert notebook.stderr == "UsageError: There is no SQL: try `select * from turns`.\n"


def test_without_a_chat_it_asks_the_default_store(notebook, monkeypatch):
    monkeypatch.setenv("NBCHAT_DB", str(notebook.folder / "mine.duckdb"))

    assert notebook.run("%chatsql select count(*) as n from chats")["n"].tolist() == [0]
    assert (notebook.folder / "mine.duckdb").exists()
