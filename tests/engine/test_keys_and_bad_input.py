"""A key is never stored, shown, logged or said; the caller's mistakes write nothing."""

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import TABLES, pending, raw_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import Answer, ReplayServer, said, scripted, sse

CANARY = "sk-canary-7f3a9b2c5d8e1f4a6b0c"
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture(params=KEYS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_unsaid(text: str) -> None:
    """Not even its beginning, which is what a cut in the middle leaves."""
    assert CANARY[:12] not in text


def assert_unstored(store: nbchat.Store, chat: nbchat.Chat) -> None:
    for table in TABLES:
        assert_unsaid(repr(raw_rows(store, chat.id, table)))
    assert_unsaid(repr(store.sql("select * from chats").to_dict("records")))
    store.close()
    for path in Path(store.path).parent.iterdir():
        assert CANARY[:12].encode() not in path.read_bytes()


def everything_said_by(error: BaseException | None) -> str:
    said_by = [str(vars(error))]
    while error is not None:
        said_by += ["".join(traceback.format_exception(error)), repr(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(said_by)


def echoes() -> list[Any]:
    """Answers of a server that repeats the key it was given."""
    whole = f"Incorrect API key provided: {CANARY}. Find yours on the site."
    # cut by whoever shortens the text in the middle of the key
    long = f"{'x' * (500 - 15)}{CANARY} and more{'y' * 600}"
    huge = f"{'x ' * 1990}{CANARY} {'y' * 600}"
    bodies = [json.dumps({"error": {"message": text}}).encode() for text in (whole, long, huge)]
    answers = [Answer(401, {}, body) for body in (*bodies, whole.encode(), huge.encode())]
    streams = [sse([{"type": "error", "error": {"type": "api_error", "message": text}}])
               for text in (whole, long, huge)]  # fmt: skip
    answers += [Answer(body=stream) for stream in streams]
    answers += [
        Answer(body=f"{CANARY} is no JSON".encode()),
        Answer(body=b'{"a": ' + whole.encode()),
    ]
    answers += [Answer(401, {"x-request-id": CANARY, "request-id": CANARY}, b"no")]
    answers += [Answer(body=[f"data: {CANARY} is no JSON\n\n".encode()])]
    return answers


@pytest.mark.parametrize("number", range(len(echoes())))
def test_a_key_that_the_server_repeats_is_in_no_row_error_log_or_byte(
    store: nbchat.Store, provider: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    # at DEBUG, httpcore writes down every response header as it came
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "nbchat")
    with ReplayServer(echoes()[number]) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, api_key=CANARY, store=store)
        ended = WAYS["ask_stream"](chat, "hello")
        assert CANARY in str(server.requests[0].headers)
    assert isinstance(ended.error, nbchat.ProviderError)
    assert_unsaid(everything_said_by(ended.error))
    assert_unsaid(repr((chat, vars(chat)["_settings"], chat.messages(), ended.events)))
    assert_unsaid(caplog.text)
    assert_unstored(store, chat)


def test_a_key_from_the_environment_stays_there(
    store: nbchat.Store, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS[provider], CANARY)
    with ReplayServer(said("hi", ToolCall("now", {}, "c1")), "done") as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, api_key=CANARY, store=store)
        stream = chat.ask_stream("hello")
        assert_unsaid(repr((stream, vars(stream), vars(stream.running))))
        events = list(stream)
    assert_unsaid(repr((chat, events)))
    assert_unstored(store, chat)


def test_a_key_of_the_environment_goes_to_the_address_that_was_given_with_the_chat(
    store: nbchat.Store, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS[provider], CANARY)
    with ReplayServer("hi") as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        chat.ask("hello")
        assert CANARY in str(server.requests[0].headers)
    assert_unstored(store, chat)


def test_a_key_of_the_environment_is_not_sent_where_only_the_store_says(
    store: nbchat.Store, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS[provider], CANARY)
    made = nbchat.create_chat(f"{provider}/x", base_url="https://gateway.example", store=store)

    loaded = nbchat.load_chat(made.id, store=store)
    given = nbchat.load_chat(made.id, store=store, api_key=CANARY)

    assert made._plan("hello").target.key == CANARY
    assert loaded is not None
    assert loaded._plan("hello").target.key is None
    assert given is not None
    assert given._plan("hello").target.key == CANARY


@pytest.mark.parametrize("key", [f"{CANARY}\nx", f"{CANARY} x", f"{CANARY}é", "", " ", "\0"])
def test_a_key_that_cannot_be_sent_is_refused_without_saying_it(
    store: nbchat.Store, provider: str, key: str
) -> None:
    with pytest.raises(nbchat.ConfigError) as caught:
        nbchat.create_chat(f"{provider}/x", api_key=key, store=store)
    assert_unsaid(everything_said_by(caught.value))
    assert len(store.sql("select * from chats")) == 0
    chat = nbchat.create_chat(f"{provider}/x", store=store)
    with pytest.raises(nbchat.ConfigError):
        nbchat.load_chat(chat.id, store=store, api_key=key)
    with pytest.raises(nbchat.ConfigError):
        chat.with_model(f"{provider}/y", api_key=key)
    assert chat.model == f"{provider}/x"


def test_a_key_with_a_line_end_around_it_is_the_key(store: nbchat.Store, provider: str) -> None:
    with ReplayServer("hi") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, api_key=f" {CANARY}\n", store=store
        )
        chat.ask("hello")
        headers = server.requests[0].headers
    assert headers.get("authorization", headers.get("x-api-key")) in (CANARY, f"Bearer {CANARY}")


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_key_is_an_error_at_the_first_request(
    store: nbchat.Store, provider: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEYS[provider], raising=False)
    chat = nbchat.create_chat(f"{provider}/x", store=store)
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.MissingKey)
    assert KEYS[provider] in str(ended.error)
    [user] = chat.messages()
    assert (user.status, user.error) == (
        "failed", {"type": "MissingKey", "message": str(ended.error), "partial": ""},
    )  # fmt: skip
    assert pending(store) == []
    assert raw_rows(store, chat.id, "requests") == []  # nothing was attempted


@pytest.mark.parametrize("model", ["gpt-4o", "nobody/x", "openai/", "/x", "", "claude-x"])
def test_an_unknown_provider_or_a_bare_name_is_refused_and_writes_nothing(
    store: nbchat.Store, model: str
) -> None:
    with pytest.raises(nbchat.UnknownProvider) as caught:
        nbchat.create_chat(model, store=store)
    assert len(str(caught.value)) < 300
    if model == "claude-x":
        assert "'anthropic/claude-x'" in str(caught.value)
    assert len(store.sql("select * from chats")) == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        (" \n", {}),
        (None, {}),
        (7, {}),
        ("hello", {"temprature": 1}),
        ("hello", {"temperature": "hot"}),
        ("hello", {"max_tokens": 0}),
        ("hello", {"max_tokens": "many"}),
        ("hello", {"thinking": "hard"}),
        ("hello", {"thinking": {"depth": 3}}),
        ("hello", {"tools": [7]}),
        ("hello", {"tools": [{"name": "x"}]}),
        ("hello", {"timeout": "soon"}),
        ("hello", {"timeout": -1}),
    ],
)
def test_a_wrong_question_or_option_is_an_error_that_writes_nothing(
    store: nbchat.Store, way: str, text: Any, options: dict[str, Any]
) -> None:
    chat = nbchat.create_chat("function/x", respond=scripted(["never"]), store=store)
    ended = WAYS[way](chat, text, **options)
    assert isinstance(ended.error, nbchat.ConfigError)
    assert len(str(ended.error)) < 300
    assert chat.messages() == []


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "example.org"},
        {"base_url": "ftp://example.org"},
        {"base_url": "http://"},
        {"base_url": "http://[::1"},
        {"base_url": "http://x:99999"},
        {"base_url": f"http://me:{CANARY}@example.org"},
        {"max_tool_rounds": -1},
        {"max_tool_rounds": True},
        {"max_tool_rounds": "3"},
        {"temperature": "hot"},
        {"max_tokens": -1},
        {"thinking": 3},
        {"tools": [None]},
    ],
)
def test_a_wrong_option_of_a_chat_is_an_error_that_writes_nothing(
    store: nbchat.Store, options: dict[str, Any]
) -> None:
    with pytest.raises(nbchat.ConfigError) as caught:
        nbchat.create_chat("openai/x", store=store, **options)
    assert_unsaid(everything_said_by(caught.value))
    assert len(store.sql("select * from chats")) == 0


def test_a_deleted_chat_is_an_error_that_says_so(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=scripted(["never"]), store=store)
    nbchat.delete_chat(chat.id, store=store)
    for way in WAYS.values():
        ended = way(chat, "hello")
        assert isinstance(ended.error, nbchat.StoreError)
        assert "no longer in the store" in str(ended.error)


def test_the_function_provider_without_a_function_says_what_to_pass(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", store=store)
    with pytest.raises(nbchat.ConfigError, match="respond="):
        chat.ask("hello")
    assert [message.status for message in chat.messages()] == ["failed"]


def test_a_key_that_a_prompt_or_a_tool_says_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = "sk-canary-0123456789abcdef", "gsk-other-0123456789abcdef"
    monkeypatch.setenv("GROQ_API_KEY", other)
    store = nbchat.open_store(tmp_path / "chats.duckdb")

    def leak() -> str:
        """Show the environment."""
        return f"GROQ_API_KEY={other}"

    replies = [[ToolCall("leak", {"of": key}, "c1")], [ToolCall("leak", {}, "c2")], f"it is {key}"]
    chat = nbchat.create_chat(
        "function/x", respond=scripted(replies), store=store, tools=[leak], api_key=key
    )

    answer = chat.ask(f"is {key} a key?")

    assert answer.status == "complete"
    assert [message.content for message in chat.messages()] == ["is [key] a key?", "it is [key]"]
    store.close()
    for file in tmp_path.iterdir():
        found = file.read_bytes()
        assert key.encode() not in found
        assert other.encode() not in found


def test_no_variable_of_a_traceback_shows_the_key(tmp_path: Path) -> None:
    key = "sk-canary-0123456789abcdef"
    chat = nbchat.create_chat(
        "anthropic/x", api_key=key, base_url="http://127.0.0.1:9", store=tmp_path / "c.duckdb"
    )
    try:
        chat.ask("hello", timeout=1)
    except nbchat.ConnectionFailed as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
    shown = "".join(repr(frame.f_locals) for frame in frames)
    assert len(frames) > 3
    assert key not in shown
