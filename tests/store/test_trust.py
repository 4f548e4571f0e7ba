"""A file from a stranger: nothing that it brings along is run where it could read or write."""

import duckdb
import pytest

import nbchat
from nbchat.store import trust
from nbchat.store.names import table_names_of

NAMES = {"default names": None, "custom names": {"chat": "My Chats", "request": "bills"}}


@pytest.fixture
def secret(tmp_path):
    """A file that no store has a right to read."""
    place = tmp_path / "secret.txt"
    place.write_text("SECRET of this machine")
    return place


def hostile(path, *statements):
    with duckdb.connect(str(path)) as database:
        for sql in statements:
            database.execute(sql)


def all_that_is_asked(store):
    """What a person would call first."""
    nbchat.list_chats(store=store)
    nbchat.stats("status", store=store)
    nbchat.search("hello", store=store)
    return nbchat.load_chat("here", store=store).messages()


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def names(request):
    return request.param


def made(path, names):
    with nbchat.open_store(path, table_names=names) as store:
        chat = nbchat.create_chat(
            "function/x", store=store, name="here", respond=lambda request: "hi"
        )
        chat.ask("hello")


@pytest.mark.parametrize("view", ["turns", "requests_priced"])
def test_a_view_of_our_name_that_reads_a_file_is_made_ours_again(path, secret, view, names, start):
    made(path, names)
    called = table_names_of(names).of(view)
    hostile(
        path,
        f'create or replace view "{called}" as select content as chat_id, 1 as turn, * '
        f"from read_text('{secret}')",
    )
    code = """
        import sys, nbchat
        store = nbchat.open_store(sys.argv[1], table_names=eval(sys.argv[2]))
        chat = nbchat.load_chat("here", store=store)
        said = [chat.messages(), chat.stats().to_dict(), nbchat.stats("status", store=store)]
        print("SECRET" in str(said), len(chat.messages()))
    """

    out, err = start(code, path, repr(names)).communicate(timeout=60)

    assert (out, err) == ("False 2\n", "")
    with duckdb.connect(str(path)) as database:
        sql = database.execute(
            "select sql from duckdb_views() where view_name = ?", [called]
        ).fetchall()
        assert "read_text" not in sql[0][0]


@pytest.mark.parametrize(
    "macro", ["lower(x)", "contains(a, b)", "json_keys(x)", "duckdb_functions()"]
)
def test_a_function_that_hides_one_of_duckdbs_own_is_refused(path, secret, macro, start):
    made(path, None)
    kind = "table" if macro.endswith("()") else ""
    hostile(
        path,
        f"create macro {macro} as {kind} (select max(content) as x from read_text('{secret}'))",
    )
    code = """
        import sys, nbchat
        try:
            nbchat.open_store(sys.argv[1])
        except nbchat.NotAStore as error:
            print(error)
    """

    out, err = start(code, path).communicate(timeout=60)

    assert err == ""
    assert f"has a function of its own called {macro.partition('(')[0]!r}" in out


def test_macros_of_the_users_own_are_let_be(path):
    made(path, None)
    hostile(path, "create macro cents(x) as x * 100", "create view mine as from chats")

    assert len(all_that_is_asked(path)) == 2
    assert nbchat.sql("select cents(2) as c from mine", store=path)["c"].tolist() == [200]


def test_what_is_ours_is_what_schema_sql_makes(path, names):
    made(path, names)
    own = table_names_of(names)

    with nbchat.open_store(path, table_names=names) as store:
        assert store.read(lambda cursor: trust.has_own_views(own.over(cursor), own))
    assert len(trust._made(own)) == 2


def test_nothing_is_taken_in_by_a_file_that_is_refused(path, start):
    made(path, None)
    with nbchat.open_store(path) as store:
        answer = nbchat.load_chat("here", store=store).messages()[-1]
        waiting = store.keep(answer, [])
    hostile(path, "create macro contains(a, b) as true")

    out, err = start(
        """
        import sys, nbchat
        try:
            nbchat.open_store(sys.argv[1])
        except nbchat.NotAStore:
            print("refused")
        """,
        path,
    ).communicate(timeout=60)

    assert (out, err) == ("refused\n", "")
    assert waiting.exists()
