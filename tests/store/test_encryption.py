"""Encryption at rest: what DuckDB offers of it, and honest words where it offers none.

DuckDB writes encrypted files with its httpfs extension, or, when it is told that weaker
random numbers will do, with what is built in: that is how these tests write theirs.
"""

import pytest

import nbchat
from nbchat.store import StoreFile
from nbchat.store import file as store_file

KEY = "correct horse battery staple"
CANARY = "CANARY in the text"


@pytest.fixture
def able(monkeypatch):
    """DuckDB, able to write encrypted files without its extension."""
    monkeypatch.setattr(store_file, "INSTANCE", {"force_mbedtls_unsafe": "true"})


@pytest.fixture
def encrypted(able, path):
    """An encrypted store with a turn in it, and a turn still in its log."""
    store = nbchat.open_store(path, encryption_key=KEY)
    chat = nbchat.create_chat(
        "function/x", store=store, name="secret", respond=lambda request: CANARY
    )
    chat.ask(CANARY)
    return store


def bytes_beside(path):
    return b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())


def test_nothing_that_was_said_is_in_the_bytes(encrypted, path):
    assert path.with_name("chats.duckdb.wal").stat().st_size > 0  # before the lease ends
    assert b"CANARY" not in bytes_beside(path)
    encrypted.close()
    assert b"CANARY" not in bytes_beside(path)
    assert KEY.encode() not in bytes_beside(path)


def test_the_whole_store_works_with_its_key(encrypted, path):
    chat = nbchat.load_chat("secret", store=encrypted, respond=lambda request: "more")

    assert chat.ask("again").content == "more"
    assert encrypted.sql("select count(*) as n from messages")["n"].tolist() == [4]
    nbchat.delete_chat("secret", store=encrypted)
    encrypted.compact()
    assert nbchat.list_chats(store=encrypted).empty
    assert b"CANARY" not in bytes_beside(path)


@pytest.mark.parametrize("key", [None, "wrong key"])
def test_without_its_key_it_does_not_open_and_is_not_touched(encrypted, path, key):
    encrypted.close()
    before = path.read_bytes()
    stranger = StoreFile(str(path), key)

    with pytest.raises(nbchat.NotAStore, match="encryption_key") as refused:
        stranger.transact(lambda cursor: None)

    assert path.read_bytes() == before
    assert KEY not in str(refused.value)
    assert "wrong key" not in str(refused.value)


def test_a_key_is_not_taken_for_a_store_that_is_not_encrypted(path):
    nbchat.open_store(path).close()

    with pytest.raises(nbchat.NotAStore, match="not encrypted"):
        StoreFile(str(path), KEY).transact(lambda cursor: None)


def test_another_key_for_an_open_store_is_refused(encrypted, path):
    with pytest.raises(nbchat.ConfigError, match="another encryption_key") as refused:
        nbchat.open_store(path, encryption_key="another one")

    assert "another one" not in str(refused.value)
    assert nbchat.open_store(path) is encrypted


def test_a_key_is_shown_nowhere(encrypted):
    chat = nbchat.load_chat("secret", store=encrypted, respond=lambda request: KEY)

    assert KEY not in chat.ask(f"is it {KEY}?").content
    assert KEY not in str(encrypted.sql("from messages").to_dict())
    assert KEY not in repr(encrypted) + repr(vars(encrypted)) + repr(vars(encrypted._file))


def test_an_answer_that_cannot_be_stored_is_not_spooled_in_the_clear(encrypted, path):
    message = nbchat.load_chat("secret", store=encrypted).messages()[-1]

    assert encrypted.keep(message, []) is None
    assert not path.with_name("chats.duckdb.spool").exists()


@pytest.mark.parametrize("key", ["", 7, "nul\0"])
def test_what_cannot_be_a_key_is_refused(path, key):
    with pytest.raises(nbchat.ConfigError, match="encryption_key"):
        nbchat.open_store(path, encryption_key=key)


def test_where_duckdb_cannot_encrypt_it_is_said_and_nothing_is_written(path, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no extension is installed there

    with pytest.raises(nbchat.StoreError, match="INSTALL httpfs"):
        nbchat.open_store(path, encryption_key=KEY)

    assert not path.exists()
    nbchat.open_store(path)
