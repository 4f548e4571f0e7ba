"""Pictures and tables that tools return: in the message, in the store, in every later request."""

import base64
import hashlib
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from crashing_child import WHENS
from drawing_child import draw
from PIL import Image as Picture
from test_turn_store_trouble import Trouble, full_disk

import nbchat
from nbchat.events import ToolEndEvent
from nbchat.messages import Image, Message, ToolCall, ToolResult
from nbchat.store.attachments import load_attachment
from nbchat.testing import ReplayServer, said, scripted

FRAME = pd.DataFrame({"city": ["Oslo", "Rome"], "n": [1, 2]})


def png(colour: str = "red", width: int = 3) -> bytes:
    held = io.BytesIO()
    Picture.new("RGB", (width, 2), colour).save(held, format="PNG")
    return held.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def rows(store: nbchat.Store) -> list[tuple[Any, ...]]:
    work = 'select "media_type", "bytes", "width", "height" from "attachments" order by all'
    return store.read(lambda cursor: cursor.execute(work).fetchall())


def plot(colour: str = "red") -> bytes:
    """Draw."""
    return png(colour)


def both() -> list[Any]:
    """Draw twice and count."""
    return [png(), {"more": [png("blue")]}, FRAME]


def table() -> pd.DataFrame:
    """Count."""
    return FRAME


def call(name: str, id_: str = "c1", **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments, id_)


def chat_of(store: nbchat.Store, *replies: Any, **options: Any) -> nbchat.Chat:
    options = {"tools": [plot, both, table], **options}
    return nbchat.create_chat("function/x", respond=scripted(replies), store=store, **options)


def results(message: Message) -> list[ToolResult]:
    return [part for part in message.parts if isinstance(part, ToolResult)]


def images(message: Message) -> list[Image]:
    return [image for result in results(message) for image in result.images]


def sent(chat: nbchat.Chat) -> list[Any]:
    """Every request that the chat's script was asked."""
    return chat._own.respond.requests  # type: ignore[no-any-return]


# What is stored -----------------------------------------------------------------------------


def test_a_picture_that_a_tool_returns_is_in_the_message_and_its_bytes_in_the_store(
    store: nbchat.Store,
) -> None:
    chat = chat_of(store, call("plot"), "done")
    answer = chat.ask("draw")

    (image,) = images(answer)
    assert (image.media_type, image.name, image.width, image.height) == ("image/png", "", 3, 2)
    assert store.read(lambda cursor: load_attachment(cursor, image.digest)) == png()
    assert chat.messages()[-1].parts == answer.parts


def test_pictures_in_containers_are_kept_in_order_and_once_by_digest(store: nbchat.Store) -> None:
    chat = chat_of(store, call("both"), call("plot"), "done")
    answer = chat.ask("draw", png())

    first, second = results(answer)
    red, blue = (hashlib.sha256(data).hexdigest() for data in (png(), png("blue")))
    assert [image.digest for image in first.images] == [red, blue]
    assert [image.digest for image in second.images] == [red]
    assert rows(store) == [("image/png", len(png()), 3, 2), ("image/png", len(png("blue")), 3, 2)]


@pytest.mark.parametrize(("name", "expected"), [("table", True), ("both", None), ("plot", None)])
def test_a_result_that_is_one_frame_says_so(
    store: nbchat.Store, name: str, expected: bool | None
) -> None:
    chat = chat_of(store, call(name), "done")
    (result,) = results(chat.ask("count"))

    assert result.is_table is expected
    if expected:
        assert pd.read_csv(io.StringIO(result.content)).equals(FRAME)
    assert results(chat.messages()[-1]) == [result]


def test_a_frame_that_is_cut_is_still_a_table(store: nbchat.Store) -> None:
    def long() -> pd.DataFrame:
        """Count long."""
        return pd.DataFrame({"n": range(1_000)})

    chat = chat_of(store, call("long"), "done", tools=[long], max_result_chars=200)
    (result,) = results(chat.ask("count"))

    assert (result.is_table, len(result.content) <= 200) == (True, True)


class Says:
    """Middleware that makes other words of a result."""

    def __init__(self, form: str) -> None:
        self.form = form

    def on_tool_end(self, event: ToolEndEvent, text: str) -> str:
        return self.form.format(text)


@pytest.mark.parametrize(
    ("form", "is_table", "pictures"),
    [("{}\nmind the note", True, 1), ("in words: {}", None, 1), ("withheld", None, 0)],
)
def test_other_words_in_the_place_of_a_result_stand_for_its_table_and_pictures_too(
    store: nbchat.Store, form: str, is_table: bool | None, pictures: int
) -> None:
    replies = ([call("table"), call("plot", "c2")], "done")
    answer = chat_of(store, *replies, middleware=[Says(form)]).ask("count and draw")

    counted, drawn = results(answer)
    assert (counted.is_table, len(drawn.images), len(rows(store))) == (is_table, pictures, pictures)


def test_a_result_that_repeats_with_a_note_is_still_a_table(store: nbchat.Store) -> None:
    answer = chat_of(store, *[call("table")] * 4, "done").ask("count")

    *_, last = results(answer)
    assert "Calls of it in this turn: 4" in last.content
    assert last.is_table is True


def test_a_halt_keeps_its_picture(store: nbchat.Store) -> None:
    def halting() -> None:
        """Draw and end."""
        raise nbchat.Halt(png())

    chat = chat_of(store, call("halting"), tools=[halting])
    answer = chat.ask("draw")

    assert len(images(answer)) == len(rows(store)) == 1
    assert chat.messages()[-1].parts == answer.parts


def test_a_call_that_failed_and_is_run_again_keeps_the_picture_of_the_second_run(
    store: nbchat.Store,
) -> None:
    tries: list[int] = []

    def shaky() -> bytes:
        """Draw, in the end."""
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return png()

    chat = chat_of(store, call("shaky"), "done", tools=[shaky])
    answer = chat.on_error(lambda error, about: "retry").ask("draw")

    assert (len(tries), len(images(answer)), len(rows(store))) == (2, 1, 1)


# What may not be stored ---------------------------------------------------------------------


def test_a_chat_that_stores_no_content_stores_no_picture_and_sends_it_again(
    store: nbchat.Store,
) -> None:
    chat = chat_of(store, call("plot"), "done", "sure", log_content=False)
    chat.ask("draw")
    chat.ask("sure?")

    assert rows(store) == []
    assert [[*request.attachments.values()] for request in sent(chat)] == [[], [png()], [png()]]
    assert len(images(sent(chat)[-1].messages[1])) == 1


def test_redaction_masks_a_tables_words_and_leaves_it_a_table(store: nbchat.Store) -> None:
    def people() -> pd.DataFrame:
        """Who."""
        return pd.DataFrame({"mail": ["someone@example.org"]})

    chat = chat_of(store, call("people"), "done", tools=[people], middleware=[nbchat.redact()])
    chat.ask("who?")

    (result,) = results(chat.messages()[-1])
    assert "someone" not in result.content
    assert result.is_table is True


def test_words_that_are_not_stored_stand_for_no_table(store: nbchat.Store) -> None:
    class Fails:
        def on_store(self, text: str) -> str:
            raise RuntimeError("no")

    chat = chat_of(store, call("table"), "done", middleware=[Fails()])
    chat.ask("count")

    (result,) = results(chat.messages()[-1])
    assert (result.content, result.is_table) == ("[not stored: on_store failed]", None)


# What is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_result_is_sent_the_same_in_the_loop_later_and_after_a_reload(
    store: nbchat.Store, provider: str
) -> None:
    replies = (said(call("both")), "done", "sure", "really")
    with ReplayServer(*replies) as server:
        address: dict[str, Any] = {"base_url": server.url, "api_key": "k" * 20}
        tools = [both]
        chat = nbchat.create_chat(f"{provider}/m", store=store, tools=tools, **address)
        chat.ask("draw")
        chat.ask("sure?")
        again = nbchat.load_chat(chat.id, store=store, api_key="k" * 20, tools=tools)
        assert again is not None
        again.ask("really?")
        told = [request.json["messages"][2] for request in server.requests[1:]]

    assert told[0] == told[1] == told[2]
    words = results(chat.messages()[1])[0].content
    assert words.count("[image: PNG") == 2
    if provider == "openai":
        assert told[0] == {"role": "tool", "tool_call_id": "c1", "content": words}
    else:
        (block,) = told[0]["content"]
        assert block == {
            "type": "tool_result",
            "tool_use_id": "c1",
            "content": [
                {"type": "text", "text": words},
                *({"type": "image", "source": source(data)} for data in (png(), png("blue"))),
            ],
        }


def source(data: bytes) -> dict[str, str]:
    encoded = base64.b64encode(data).decode()
    return {"type": "base64", "media_type": "image/png", "data": encoded}


def test_pictures_go_with_a_chat_that_switches_its_provider_and_goes_back(
    store: nbchat.Store,
) -> None:
    replies = (said(call("plot")), "done", "words", "seen")
    with ReplayServer(*replies) as server:
        address: dict[str, Any] = {"base_url": server.url, "api_key": "k" * 20}
        chat = nbchat.create_chat("anthropic/m", store=store, tools=[plot], **address)
        chat.ask("draw")
        chat.with_model("openai/m", **address).ask("what was it?")
        chat.with_model("anthropic/m", **address).ask("and now?")
        first, _, last = [request.json["messages"][2] for request in server.requests[1:]]
        dropped = store.read(
            lambda cursor: cursor.execute(
                'select "provider", "dropped"::varchar from "requests" order by "started_at"'
            ).fetchall()
        )

    assert first == last
    assert dropped[2] == ("openai", '{"image": 1}')
    assert [row[1] for row in (*dropped[:2], dropped[3])] == [None, None, None]


def test_a_fork_sends_the_picture_too(store: nbchat.Store) -> None:
    chat = chat_of(store, call("plot"), "done")
    chat.ask("draw")
    copy = chat.fork()
    nbchat.delete_chat(chat.id, store=store)
    script = scripted(["seen"])
    again = nbchat.load_chat(copy.id, store=store, respond=script)
    assert again is not None
    again.ask("seen?")

    assert [*script.requests[0].attachments.values()] == [png()]


def test_a_turn_that_goes_on_sends_what_its_tools_had_drawn(store: nbchat.Store) -> None:
    chat = chat_of(store, call("plot"), "done")
    chat.step("draw")
    chat.step()
    assert len(rows(store)) == 1
    script = scripted(["done"])
    again = nbchat.load_chat(chat.id, store=store, respond=script, tools=[plot])
    assert again is not None
    assert again.resume().content == "done"

    assert [*script.requests[0].attachments.values()] == [png()]


# What goes ----------------------------------------------------------------------------------


def test_a_picture_goes_with_the_last_result_that_names_it(store: nbchat.Store) -> None:
    chat = chat_of(store, call("plot"), "one", call("both"), "two")
    first, second = chat.ask("draw"), chat.ask("draw more")

    chat.delete_turn(first.id)
    assert len(rows(store)) == 2
    chat.delete_turn(second.id)
    assert rows(store) == []


def test_a_picture_that_a_question_still_names_stays(store: nbchat.Store) -> None:
    one, two = chat_of(store, call("both"), "done"), chat_of(store, "done")
    one.ask("draw")
    two.ask("look", png())
    nbchat.delete_chat(one.id, store=store)

    assert rows(store) == [("image/png", len(png()), 3, 2)]


@pytest.mark.parametrize("content_only", [False, True])
def test_a_purge_takes_pictures_of_results_along(store: nbchat.Store, content_only: bool) -> None:
    chat_of(store, call("both"), "done").ask("draw")
    store.purge("0h", content_only=content_only)

    assert rows(store) == []


def test_a_turn_that_fails_leaves_no_picture_behind(store: nbchat.Store) -> None:
    kept, failing = chat_of(store, call("plot"), "done"), chat_of(
        store, call("both"), nbchat.ProviderError("down")
    )  # fmt: skip
    kept.ask("draw")
    with pytest.raises(nbchat.ProviderError, match="down"):
        failing.ask("draw")

    assert rows(store) == [("image/png", len(png()), 3, 2)]


def test_arguments_that_look_like_a_picture_keep_none(store: nbchat.Store) -> None:
    chat = chat_of(store, call("plot"), "done")
    (image,) = images(chat.ask("draw"))
    other = chat_of(store, call("nothing", digest=image.digest, images=[{"digest": "x"}]), "done")
    other.ask(json.dumps({"digest": image.digest}))
    nbchat.delete_chat(chat.id, store=store)

    assert rows(store) == []


def test_compacting_keeps_pictures_as_they_are(store: nbchat.Store) -> None:
    def noise() -> list[Any]:
        """Draw what cannot be made smaller."""
        pictures = [Picture.effect_noise((100, 100), 90) for _ in range(20)]
        return [*pictures, png()]

    chat_of(store, call("noise"), "done", tools=[noise]).ask("draw")
    before = rows(store)
    store.compact()

    assert rows(store) == before != []
    store.close()
    with duckdb.connect(store.path, read_only=True) as database:
        stored = database.execute(
            """
            select distinct "compression" from pragma_storage_info('attachments')
            where "column_name" = 'data' and "segment_type" = 'BLOB'
            """
        ).fetchall()
    assert stored == [("Uncompressed",)]


# What goes wrong ----------------------------------------------------------------------------


def test_the_doctor_names_messages_whose_pictures_are_gone(store: nbchat.Store) -> None:
    asked, drawn = chat_of(store, "done"), chat_of(store, call("plot"), "done")
    asked.ask("look", png("blue"))
    answer = drawn.ask("draw")
    chat_of(store, call("both"), "done", log_content=False).ask("draw")
    assert missing(store) == (0, [])
    nbchat.sql("delete from attachments", store=store, write=True)

    expected = sorted([asked.messages()[0].id, answer.id])
    assert missing(store) == (2, expected)
    script = scripted(["words"])
    again = nbchat.load_chat(drawn.id, store=store, respond=script)
    assert again is not None
    again.ask("sure?")
    assert dict(script.requests[0].attachments) == {}


def missing(store: nbchat.Store) -> tuple[int, list[str]]:
    found = store.doctor(repair=True).set_index("check").loc["missing_attachments"]
    assert found["repaired"] == 0
    return int(found["rows"]), json.loads(found["ids"])


# begun; its calls; their two ends; the end
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("when", WHENS)
def test_killed_at_any_write_no_message_names_a_picture_that_is_not_there(
    tmp_path: Path, number: int, when: str
) -> None:
    path = tmp_path / "chats.duckdb"
    child = Path(__file__).with_name("drawing_child.py")
    ended = subprocess.run([sys.executable, child, str(path), str(number), when], check=False)
    assert ended.returncode == -signal.SIGKILL

    store = nbchat.open_store(path)
    chat = nbchat.load_chat("chat", store=store, respond=scripted(["yes"]), tools=[draw])
    assert chat is not None
    stored = [result for message in chat.messages() for result in results(message)]
    assert all(len(result.images) == 2 for result in stored)
    assert len(rows(store)) == (2 if stored else 0)
    assert missing(store) == (0, [])
    chat.ask("is it there?")
    assert [len(request.attachments) for request in sent(chat)] == [2 if stored else 0]


def test_an_answer_that_waits_beside_the_file_brings_its_pictures(
    store: nbchat.Store,
) -> None:
    chat = chat_of(store, call("plot"), "done")
    # begun, its call, its result
    with (
        Trouble(store, 3, full_disk),
        pytest.raises(nbchat.StoreError, match=r"kept in .* until the store opens again"),
    ):
        chat.ask("draw")

    (image,) = images(chat.messages()[-1])
    assert store.read(lambda cursor: load_attachment(cursor, image.digest)) == png()
    assert missing(store) == (0, [])
