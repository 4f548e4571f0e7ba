"""What is stored is what was said: ids, JSON, and any text at all."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nbchat
from nbchat.messages import Text, Thinking, ToolCall
from nbchat.store.identity import is_id, new_id
from nbchat.store.values import clean, dump_json

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
AWKWARD = {
    "half of a surrogate pair": ("a\ud800b", "a\ufffdb"),
    "NUL": ("a\x00b", "a\x00b"),
    "emoji": ("👩‍👩‍👧 ✓", "👩‍👩‍👧 ✓"),
    "a megabyte": ("x" * 2**20, "x" * 2**20),
    "quotes and comments": ("'; drop table x; --\"\\", "'; drop table x; --\"\\"),
    "line ends": ("a\r\nb\u2028c\n", "a\r\nb\u2028c\n"),
}


@pytest.fixture(scope="module")
def chat():
    """One chat whose model says what the test wants next."""
    with nbchat.open_store(":memory:") as store:
        made = nbchat.create_chat(
            "function/x", store=store, respond=lambda request: made.answers.pop(0)
        )
        yield made


def plain(value):
    """The value as JSON can hold it: no NaN, no infinity, no half of a surrogate pair."""
    return json.loads(dump_json(value))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(question=ANY_TEXT.filter(str.strip), answer=ANY_TEXT, thought=ANY_TEXT)
def test_any_text_is_stored_as_it_was_returned(chat, question, answer, thought):
    chat.answers = [[Thinking(thought, "sig"), Text(answer)]]

    said = chat.ask(question)

    asked, stored = chat.messages()[-2:]
    assert said == stored
    assert (asked.content, stored.content) == (clean(question), clean(answer))
    assert stored.thinking_text == clean(thought)
    row = chat.store.sql(
        "select content from messages where chat_id = ? order by seq desc limit 1", [chat.id]
    )
    assert row["content"].tolist() == [clean(answer)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(arguments=st.dictionaries(ANY_TEXT, JSONS, max_size=4), name=ANY_TEXT)
def test_any_arguments_of_a_tool_are_stored_as_json_once(chat, arguments, name):
    chat.answers = [ToolCall(name, arguments, "id"), "done"]

    chat.ask("go on")

    frame = chat.store.sql(
        "select name, arguments, json_type(arguments) as kind from tool_calls "
        "order by turn desc limit 1"
    )
    assert frame[["name", "kind"]].values.tolist() == [[clean(name), "OBJECT"]]
    assert json.loads(frame["arguments"][0]) == plain(arguments)
    stored = chat.messages()[-1].tool_calls[0]
    assert stored.arguments == plain(arguments)


@pytest.mark.parametrize(("said", "kept"), AWKWARD.values(), ids=AWKWARD)
def test_awkward_text_survives_streamed_or_not(chat, said, kept):
    chat.answers = [said, iter([said[:1], said[1:]])]
    whole = chat.ask(said)
    streamed = "".join(event.content or "" for event in chat.ask_stream(said))

    contents = [message.content for message in chat.messages()[-4:]]

    assert contents == [kept] * 4
    assert (whole.content, streamed) == (kept, kept)


def test_what_json_has_no_form_for_becomes_text():
    value = {"nan": float("nan"), "many": [float("inf"), Decimal("1.5")], "set": {1}}

    assert json.loads(dump_json(value)) == {"nan": "nan", "many": ["inf", "1.5"], "set": "{1}"}


def test_json_columns_are_asked_with_arrows(store):
    def respond(request):
        if request.messages[-1].role == "user":
            return [
                ToolCall("weather", {"city": "Oslo", "days": [1, 2]}, "a"),
                ToolCall("weather", {}, "b"),
                ToolCall("weather", '{"city": "Os', "c"),
            ]
        return "done"

    chat = nbchat.create_chat(
        "function/x", store=store, respond=respond, metadata={"user_id": 7, "tags": ["a"]},
        temperature=0.5,
    )  # fmt: skip
    chat.ask("the weather?")

    calls = store.sql(
        "select arguments ->> 'city' as city, arguments ->> '$.days[1]' as day, "
        "json_type(arguments) as kind from tool_calls order by seq"
    )
    about = store.sql(
        "select metadata ->> 'user_id' as user_id, settings ->> 'temperature' as temperature "
        "from chats"
    )
    kinds = store.sql(
        "select json_array_length(parts) as parts, parts ->> '$[0].kind' as first "
        "from messages order by seq"
    )

    assert calls.astype(object).where(calls.notna(), None).values.tolist() == [
        ["Oslo", "2", "OBJECT"],
        [None, None, "OBJECT"],
        [None, None, "VARCHAR"],
    ]
    assert about.values.tolist() == [["7", "0.5"]]
    assert kinds.values.tolist() == [[1, "text"], [7, "tool_call"]]


def test_ids_are_uuid7_text_everywhere(store):
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "hi")
    message = chat.ask("hello")

    columns = store.sql(
        "select m.id, m.chat_id, m.parent_id, r.id, r.message_id, c.head_message_id "
        "from messages m join requests r on r.message_id = m.id join chats c on c.id = m.chat_id"
    )
    frame = chat.messages(as_frame=True)

    in_python = [chat.id, message.id, message.chat_id, message.parent_id]
    in_frames = [*columns.iloc[0], *frame["id"], frame["parent_id"][1]]
    in_frames += nbchat.list_chats(store=store)["id"].tolist()
    assert all(type(id_) is str and UUID7.fullmatch(id_) for id_ in in_python + in_frames)


def test_ids_sort_by_the_time_they_were_made_in():
    ids = [new_id() for _ in range(2000)]

    assert len(set(ids)) == len(ids)
    assert [id_[:13] for id_ in ids] == sorted(id_[:13] for id_ in ids)
    assert all(is_id(id_) for id_ in ids)


def test_names_and_instructions_may_be_awkward_too(store):
    chat = nbchat.create_chat("function/x", store=store, name="a\ud800", instructions="b\ud800")
    chat.with_instructions("c\x00\ud800").update_metadata({"k\ud800": "v\ud800"})

    loaded = nbchat.load_chat("a\ud800", store=store)

    assert (loaded.id, loaded.name) == (chat.id, "a\ufffd")
    assert loaded.instructions == "b\ufffd\nc\x00\ufffd"
    assert loaded.metadata == {"k\ufffd": "v\ufffd"}


@pytest.mark.parametrize(
    "name", ["", "no id", "'; drop table chats; --", "\ud800", "\x00", "7" * 36]
)
def test_what_is_no_id_is_looked_for_as_a_name(store, name):
    assert nbchat.load_chat(name, store=store) is None
