"""Chats as things: listed, put away, taken out again, deleted with all that is theirs."""

import asyncio
import json

import pytest

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import scripted


def say(store, *texts, **options):
    """A chat in which these were asked and answered."""
    chat = nbchat.create_chat(
        "function/x", store=store, respond=lambda request: ["-", Usage(1, 1)], **options
    )
    for text in texts:
        chat.ask(text)
    return chat


def names(store, **options):
    return nbchat.list_chats(store=store, **options)["name"].tolist()


def test_an_archived_chat_is_no_longer_listed_until_it_is_taken_out(store):
    kept, away = say(store, name="kept"), say(store, name="away")

    assert away.archive() is away
    assert names(store) == ["kept"]
    assert names(store, archived=True) == ["away"]
    assert names(store, archived=None) == ["away", "kept"]
    times = nbchat.list_chats(store=store, archived=None)["archived_at"]
    assert times.notna().tolist() == [True, False]
    assert away.unarchive() is away
    assert kept.unarchive() is kept
    assert names(store) == ["away", "kept"]
    assert nbchat.list_chats(store=store)["archived_at"].isna().all()


def test_an_archived_chat_goes_on_as_before(store):
    say(store, "one", name="away").archive()

    chat = nbchat.load_chat("away", store=store, respond=lambda request: "-")
    chat.ask("two")

    assert len(chat.messages()) == 4
    assert names(store, archived=True) == ["away"]


def test_a_chat_that_is_gone_cannot_be_archived(store):
    chat = say(store)
    nbchat.delete_chat(chat.id, store=store)

    with pytest.raises(nbchat.StoreError, match="no longer in the store"):
        chat.archive()


@pytest.mark.parametrize("archived", ["yes", 5, []])
def test_archived_is_true_false_or_none(store, archived):
    with pytest.raises(nbchat.ConfigError, match="True, False and None"):
        nbchat.list_chats(store=store, archived=archived)


def test_a_limit_lists_the_latest(store):
    for name in ("a", "b", "c"):
        say(store, name=name)

    assert names(store, limit=2) == ["c", "b"]
    assert names(store, limit=9) == names(store) == ["c", "b", "a"]
    with pytest.raises(nbchat.ConfigError, match="is not a number of rows"):
        nbchat.list_chats(store=store, limit=0)


def test_a_chat_without_recorded_requests_has_an_unknown_cost(store):
    said = {"a": {"persist": {"requests": False}}, "b": {"persist": {"tool_calls": False}}, "c": {}}
    for name, settings in said.items():
        chat = say(store, name=name)
        store.sql(
            "update chats set settings = ? where id = ?",
            [json.dumps(settings), chat.id],
            write=True,
        )

    frame = nbchat.list_chats(store=store).sort_values("name")

    assert frame["cost_usd"].isna().tolist() == [True, False, False]
    assert frame["cost_complete"].tolist() == [False, True, True]


def test_of_chats_of_one_name_the_latest_is_deleted_and_by_id_any(store):
    first, second = say(store, "one", name="same"), say(store, "two", name="same")

    nbchat.delete_chat("same", store=store)
    assert nbchat.list_chats(store=store)["id"].tolist() == [first.id]
    nbchat.delete_chat(first.id, store=store)
    assert nbchat.load_chat(second.id, store=store) is None
    for table in ("chats", "messages", "requests", "tool_calls"):
        assert store.sql(f"select count(*) as n from {table}")["n"].tolist() == [0]


def test_a_deletion_that_fails_half_way_deletes_nothing(store):
    chat = say(store, "one")
    store.sql('alter table agent_sessions rename to "elsewhere"', write=True)

    with pytest.raises(nbchat.StoreError):
        nbchat.delete_chat(chat.id, store=store)
    store.sql('alter table "elsewhere" rename to agent_sessions', write=True)

    assert len(chat.messages()) == 2


def test_a_deleted_chats_waiting_answers_are_deleted_too(store):
    gone, kept = say(store, "one", name="gone"), say(store, "one", name="kept")
    answers = {chat.name: chat.messages()[-1] for chat in (gone, kept)}
    waiting = {name: store.keep(answer, []) for name, answer in answers.items()}
    # of tables that this store does not know, so that opening it leaves them where they are
    for place in waiting.values():
        place.write_text(json.dumps({**json.loads(place.read_text()), "tables": "others"}))
    for junk in ("{", "[]", '{"message": 5}', "null", '"x"', '{"message": {}}'):
        (waiting["kept"].parent / f"junk {hash(junk)}.json").write_text(junk)

    nbchat.delete_chat("gone", store=store)

    assert not waiting["gone"].exists()
    assert waiting["kept"].exists()
    assert len(list(waiting["kept"].parent.glob("*.json"))) == 7


@pytest.mark.parametrize("value", ["abc", object(), {"a": 1}])
def test_a_value_that_a_column_cannot_hold_is_named(store, value):
    store.sql("alter table chats add column user_id integer", write=True)

    with pytest.raises(nbchat.ConfigError, match=r"columns=.*user_id.*do not fit"):
        nbchat.create_chat("function/x", store=store, columns={"user_id": value})

    assert nbchat.list_chats(store=store).empty


@pytest.mark.parametrize("column", ["archived_at", "ID", "name", "head_message_id"])
def test_a_column_of_nbchats_own_is_refused(store, column):
    with pytest.raises(nbchat.ConfigError, match="nbchat's own"):
        nbchat.create_chat("function/x", store=store, columns={column: None})


@pytest.mark.parametrize("columns", [["user_id"], "user_id", {7: "x"}])
def test_columns_that_are_no_mapping_are_refused(store, columns):
    with pytest.raises(nbchat.ConfigError, match="columns="):
        nbchat.create_chat("function/x", store=store, columns=columns)


def test_adding_no_instructions_leaves_them_as_they_are(store):
    chat = nbchat.create_chat("function/x", store=store, instructions="Be brief.")

    assert chat.with_instructions(None).instructions == "Be brief."
    assert chat.with_instructions(None, replace=True).instructions is None


def test_asking_nothing_never_goes_on_with_an_earlier_turn(store):
    script = scripted([ToolCall("look", {}, "c1"), "done"])
    chat = nbchat.create_chat("function/x", store=store, respond=script, max_tool_rounds=0)
    with pytest.raises(nbchat.ToolRoundsExceeded):
        chat.ask("hello")

    for ask in (chat.ask, chat.ask_stream, chat.aask_stream):
        with pytest.raises(nbchat.ConfigError, match="nothing to ask in None"):
            ask(None, max_tool_rounds=1)
    with pytest.raises(nbchat.ConfigError, match="nothing to ask in None"):
        asyncio.run(chat.aask(None, max_tool_rounds=1))

    assert len(script.requests) == 1


def test_an_older_object_of_a_chat_changes_only_what_it_is_told_to(path):
    first = nbchat.create_chat("function/x", store=path, max_tokens=5)
    second = nbchat.load_chat(first.id, store=path)
    first.with_policy("dry_run").with_params(seed=1)

    second.with_temperature(0).with_model("function/y")

    loaded = nbchat.load_chat(first.id, store=path)
    assert loaded._settings.tool_policy == "dry_run"
    assert loaded._settings.answer == first._settings.answer.__class__(
        temperature=0, max_tokens=5, params={"seed": 1}
    )
    first.with_policy(None)
    assert nbchat.load_chat(first.id, store=path)._settings.tool_policy is None


@pytest.mark.parametrize("given", [{"tools": 5}, {"hooks": 3}, {"hooks": [3]}, {"respond": 3}])
def test_what_cannot_be_used_is_refused_in_words(path, given):
    with pytest.raises(nbchat.NbchatError, match=next(iter(given))):
        nbchat.create_chat("function/x", store=path, **given)
