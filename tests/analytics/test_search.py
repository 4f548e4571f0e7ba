"""Search: what is found and what is not, in which order, in fixed columns, whatever is typed."""

import datetime as dt
import re

import pandas as pd
import pytest
import seeded

import nbchat

TIME = "datetime64[us, UTC]"
COLUMNS = {
    **dict.fromkeys(("chat_id", "name", "message_id"), "string"),
    "turn": "Int64",
    **dict.fromkeys(("role", "snippet"), "string"),
    "score": "Float64",
    "created_at": TIME,
}
NAMES = {"chat": "Talk", "message": "odd \"name'", "request": "sent", "tool_call": "tools"}


@pytest.fixture
def store():
    """An empty store."""
    with nbchat.open_store(":memory:") as opened:
        yield opened


def say(store, *texts, **options):
    """A chat in which these were said by the user; the answers say nothing of interest."""
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "-", **options)
    for text in texts:
        chat.ask(text)
    return chat


def found(store, text, **options):
    """The snippets of the hits, best first."""
    return nbchat.search(text, store=store, **options)["snippet"].tolist()


def dtypes(frame):
    return [(name, str(dtype)) for name, dtype in frame.dtypes.items()]


@pytest.mark.parametrize("kind", list(seeded.SEEDS))
@pytest.mark.parametrize("text", ["first", "nowhere", "h"])
def test_a_search_has_fixed_columns(stores, kind, text):
    assert dtypes(nbchat.search(text, store=stores[kind])) == list(COLUMNS.items())


def test_nothing_is_found_in_an_empty_store(store):
    assert nbchat.search("x", store=store).empty
    assert nbchat.search("x", store=store, metadata={"a": 1}, since="2020-01-01").empty


def test_a_hit_says_where_it_was_said(store):
    chat = say(store, "hello", "where is my refund?", name="orders")
    asked = chat.messages()[2]

    frame = nbchat.search("REFUND", store=store)

    row = frame.iloc[0].to_dict()
    assert (len(frame), row.pop("score") > 0) == (1, True)
    assert row == {
        "chat_id": chat.id,
        "name": "orders",
        "message_id": asked.id,
        "turn": 2,
        "role": "user",
        "snippet": "where is my refund?",
        "created_at": pd.Timestamp(asked.created_at),
    }


def test_a_hit_in_the_chat_itself_belongs_to_no_message(store):
    chat = say(store, name="The Refund", metadata={"customer": "Acme", "n": {"deep": [7]}})

    for text in ("refund", "acme", "refund ACME customer", "deep"):
        frame = nbchat.search(text, store=store)
        assert frame["chat_id"].tolist() == [chat.id]
        assert frame[["message_id", "turn", "role"]].isna().all(axis=None)
        assert frame["snippet"].tolist() == ['The Refund customer: Acme n: {"deep":[7]}']
        assert frame["created_at"].notna().all()


def test_all_words_are_in_one_message_or_in_the_chat_itself(store):
    say(store, "red apple", "green pear", "apple, pear", name="red", metadata={"a": "pear"})

    assert found(store, "pear apple") == ["apple, pear"]
    assert found(store, "red pear") == ["red a: pear"]
    assert found(store, "green apple") == []


def test_a_quoted_phrase_is_one_term(store):
    say(store, "the big dog", "big the dog")

    assert found(store, '"the big"') == ["the big dog"]
    assert found(store, 'dog "big the"') == ["big the dog"]
    assert found(store, '"the big') == ["the big dog"]
    assert found(store, 'the"big"dog', limit=5) == ["big the dog", "the big dog"]


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("Ärger mit Öl", "ärger ÖL"),
        ("ärger", "ÄRGER"),
        ("ПРИВЕТ, мир", "привет МИР"),
        ("καλημέρα", "ΚΑΛΗΜΈΡΑ"),
        ("naïve Café", "NAÏVE"),
        ("日本語のテキスト", "日本語"),
        ("smile \N{GRINNING FACE} here", "\N{GRINNING FACE}"),
        ("Straße", "STRAẞE"),
    ],
)
def test_case_does_not_matter_in_any_script(store, said, typed):
    say(store, said, "something else")

    assert found(store, typed) == [said]


def test_every_character_whose_lower_case_is_ascii_is_found_by_it(store):
    pairs = store.sql(
        """
        select chr(code) as "char", lower(chr(code)) as "low"
        from (select code::integer as code from range(33, 1114112) as r(code))
        where not code between 55296 and 57343 and regexp_full_match(lower(chr(code)), '[a-z]')
        """
    ).to_dict("records")
    say(store, *(f"x{pair['char']}y" for pair in pairs))

    for low in "abcdefghijklmnopqrstuvwxyz":
        said = [f"x{pair['char']}y" for pair in pairs if pair["low"] == low]
        assert sorted(found(store, f"X{low}Y")) == sorted(said)
    assert len(pairs) > 52


@pytest.mark.parametrize(
    "term",
    ["%", "_", "100%", "a.b", ".*", "[a-z]", "(?i)", "\\", "\\d", "it's", "';--", "$1", "?", "{x}"],
)
def test_what_means_something_elsewhere_is_literal(store, term):
    say(store, "plain 100 aXb text with it and d", f"here {term} it is")

    assert found(store, term) == [f"here {term} it is"]


def test_a_quote_cannot_be_looked_for_but_does_no_harm(store):
    say(store, 'he said "no" twice')

    assert found(store, '"no" he') == ['he said "no" twice']
    assert found(store, '"""no') == ['he said "no" twice']


def test_text_that_no_store_can_hold_is_looked_for_as_it_was_stored(store):
    say(store, "half \ud800 pair", "with\0nul")

    assert found(store, "half \ud800") == ["half \N{REPLACEMENT CHARACTER} pair"]
    assert found(store, "h\0N") == ["with nul"]
    assert found(store, "\udfff\udfff") == []


def test_very_long_text_is_looked_for(store):
    long = "word and " * 20_000
    say(store, f"{long}end")

    assert found(store, f'"{long}END"') == ["word and " * 17 + "word an…"]
    assert found(store, long) == ["word and " * 17 + "word an…"]
    assert found(store, "x" * 200_000) == []


@pytest.mark.parametrize("text", ["", " \n\t ", '""', '" "', '"', None, 5, ["a"], b"a"])
def test_a_search_for_nothing_is_refused(store, text):
    with pytest.raises(nbchat.ConfigError, match="Give a word or a few"):
        nbchat.search(text, store=store)


def test_more_words_than_anyone_types_are_refused(store):
    with pytest.raises(nbchat.ConfigError, match="65 words are too many"):
        nbchat.search(" ".join(map(str, range(65))), store=store)


def test_a_snippet_is_one_short_line_around_the_first_match(store):
    say(store, "start\n" + "before\r\n" * 40 + "here is\tthe Needle\u2028!\n" + "after\n" * 40)

    (snippet,) = found(store, "needle start") and found(store, "needle")

    assert snippet.startswith("…")
    assert snippet.endswith("…")
    assert "before here is the Needle ! after after" in snippet
    assert len(snippet) <= 162
    assert found(store, "start needle")[0].startswith("start before before")


def test_more_often_in_a_shorter_text_and_by_rarer_words_ranks_higher(store):
    say(
        store,
        "apple " + "filler " * 30,
        "apple once and a few more words",
        "apple apple again and more words",
    )
    often = found(store, "apple")
    assert [snippet[:11] for snippet in often] == ["apple apple", "apple once ", "apple fille"]

    say(store, *["common"] * 20, "common common common rare", "common rare rare rare")
    assert found(store, "common rare") == ["common rare rare rare", "common common common rare"]


def test_a_name_ranks_above_messages_and_metadata(store):
    say(store, *["refund " * n for n in range(1, 9)], metadata={"about": "refund"})
    say(store, name="A rather long name for a chat, which happens to be about some refund of old")

    frame = nbchat.search("refund", store=store)

    assert frame["name"][0].startswith("A rather long name")
    assert len(frame) == 10
    assert frame["score"].is_monotonic_decreasing
    assert (frame["score"] > 0).all()


def test_equal_hits_come_newest_first_and_the_same_every_time(store):
    say(store, *[f"apple {n}" for n in range(5)])

    first = found(store, "apple", limit=3)

    assert first == ["apple 4", "apple 3", "apple 2"]
    assert found(store, "apple", limit=3) == first


def test_only_the_newest_matches_are_ranked_where_a_word_is_everywhere(store, monkeypatch):
    say(store, "apple apple apple", *["apple and more"] * 3)
    monkeypatch.setattr("nbchat.analytics.search.SCORED", 3)

    assert found(store, "apple", limit=1) == ["apple and more"]
    assert found(store, "apple", limit=4)[0] == "apple apple apple"


def test_metadata_keeps_the_chats_that_have_its_values(store):
    chats = {
        "number": say(store, "apple", metadata={"user_id": 7, "team": "a"}),
        "text": say(store, "apple", metadata={"user_id": "7", "team": "a"}),
        "odd": say(store, "apple", metadata={"a/b~c \"d'": None, "": True, "o": {"x": [1.5]}}),
    }

    def having(metadata):
        hits = nbchat.search("apple", store=store, metadata=metadata)["chat_id"].tolist()
        listed = nbchat.list_chats(store=store, metadata=metadata)["id"].tolist()
        assert hits == listed
        return [name for name, chat in chats.items() if chat.id in hits]

    assert having({"user_id": 7}) == ["number"]
    assert having({"user_id": "7"}) == ["text"]
    assert having({"team": "a"}) == ["number", "text"]
    assert having({"team": "a", "user_id": 7}) == ["number"]
    assert having({"team": "b"}) == having({"nokey": None}) == having({"user_id": None}) == []
    assert having({"a/b~c \"d'": None}) == having({"": True, "o": {"x": [1.5]}}) == ["odd"]
    assert having({}) == having(None) == ["number", "text", "odd"]


@pytest.mark.parametrize("metadata", [5, "user_id", ["a"]])
def test_metadata_is_a_mapping(store, metadata):
    with pytest.raises(nbchat.ConfigError, match="not a mapping"):
        nbchat.search("x", store=store, metadata=metadata)


def test_since_is_within_and_until_is_not(store):
    chat = say(store, "apple 1", "apple 2", "apple 3", name="apple chat")
    second = chat.messages()[2].created_at

    assert found(store, "apple", since=second) == ["apple 3", "apple 2"]
    assert found(store, "apple", until=second) == ["apple chat", "apple 1"]
    assert found(store, "apple", until=second.isoformat()) == ["apple chat", "apple 1"]
    assert found(store, "apple", since=second + dt.timedelta(days=1)) == []
    with pytest.raises(nbchat.ConfigError, match="is not a time"):
        nbchat.search("apple", store=store, until="soon")


@pytest.mark.parametrize("limit", [0, -1, True, None, 1.5, "5", 2**63])
def test_a_limit_is_a_number_of_rows(store, limit):
    with pytest.raises(nbchat.ConfigError, match="is not a number of rows"):
        nbchat.search("x", store=store, limit=limit)


def test_archived_chats_are_found_and_removed_content_is_not(store):
    say(store, "apple in the attic").archive()
    removed = say(store, "apple gone")
    store.sql(
        "update messages set content_removed_at = created_at where chat_id = ?",
        [removed.id],
        write=True,
    )

    assert found(store, "apple") == ["apple in the attic"]


def test_deleted_chats_are_not_found(store):
    say(store, "apple one", name="apple")
    nbchat.delete_chat("apple", store=store)

    assert nbchat.search("apple", store=store).empty


def test_a_search_knows_custom_table_names(tmp_path):
    place = tmp_path / "chats.duckdb"
    chat = say(place, "apple here", name="apple chat", table_names=NAMES)
    chat.archive()

    assert found(place, "apple", table_names=NAMES) == ["apple chat", "apple here"]
    assert nbchat.list_chats(store=place, table_names=NAMES).empty
    listed = nbchat.list_chats(store=place, table_names=NAMES, archived=True)
    assert listed["id"].tolist() == [chat.id]


def bring_stems(store):
    """A function of DuckDB's own as the extension fts brings it, right for a few words."""

    def stem(word: str, stemmer: str) -> str:
        return re.sub("(s|ed|y)$", "", word) if stemmer == "porter" else ""

    store.transact(lambda cursor: cursor.create_function("stem", stem, ["VARCHAR"] * 2, "VARCHAR"))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("macro", ["u.stem(x)", "main.stem(x)", "main.stem(x, y)"])
def test_a_macro_called_stem_changes_no_search(store, macro, known):
    say(store, "refunds came", "a refund came")
    if known:
        bring_stems(store)

    store.sql("create schema u", write=True)
    store.sql(f"create macro {macro} as 'nothing'", write=True)

    assert len(found(store, "refunds")) == 1 + known


def test_other_forms_of_a_word_are_found_where_stems_are_known(store):
    texts = ["a refund came", "refunds came", "it was refunded", "fun came"]
    say(store, *texts)
    assert found(store, "refunds") == ["refunds came"]

    bring_stems(store)

    assert found(store, "Refunds")[0] == "refunds came"
    assert sorted(found(store, "refunds CAME")) == ["a refund came", "refunds came"]
    assert sorted(found(store, "refunded")) == sorted(texts[:3])
    assert found(store, '"refunds"') == ["refunds came"]
