"""What goes with a question is sent as it is, stored once, and sent again whenever it was said."""

import base64
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image as Picture

import nbchat
from nbchat.attachments import MAX_ATTACHMENTS, MAX_BYTES, Attachment
from nbchat.exchange import Request
from nbchat.messages import File, Image, Text, part_from_json, part_to_json
from nbchat.store.attachments import load_attachment
from nbchat.testing import ReplayServer

PDF = b"%PDF-1.7\nnot much of one"


def png(colour: str = "red") -> bytes:
    held = io.BytesIO()
    Picture.new("RGB", (3, 2), colour).save(held, format="PNG")
    return held.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def rows(store: nbchat.Store) -> list[tuple[Any, ...]]:
    work = 'select "media_type", "bytes", "width", "height" from "attachments" order by all'
    return store.read(lambda cursor: cursor.execute(work).fetchall())


def asking(store: nbchat.Store, **options: Any) -> tuple[nbchat.Chat, list[Request]]:
    seen: list[Request] = []

    def respond(request: Request) -> str:
        seen.append(request)
        return "ok"

    return nbchat.create_chat("function/x", store=store, respond=respond, **options), seen


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_an_image_is_sent_again_in_later_turns_and_after_a_reload(
    store: nbchat.Store, provider: str
) -> None:
    with ReplayServer("red", "still red", "yes") as server:
        model = f"{provider}/m"
        chat = nbchat.create_chat(model, store=store, base_url=server.url, api_key="k" * 20)
        chat.ask("What is it?", png(), PDF)
        chat.ask("Sure?")
        again = nbchat.load_chat(chat.id, store=store, api_key="k" * 20)
        assert again is not None
        again.ask("Really?")
        first = [request.json["messages"][0] for request in server.requests]

    assert first[0] == first[1] == first[2]
    image, pdf = (base64.b64encode(data).decode() for data in (png(), PDF))
    if provider == "anthropic":
        content = [
            {"type": "image", "source": source("image/png", image)},
            {"type": "document", "source": source("application/pdf", pdf), "title": "attachment"},
        ]
    else:
        data = f"data:application/pdf;base64,{pdf}"
        content = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
            {"type": "file", "file": {"filename": "attachment", "file_data": data}},
        ]
    asked = {"type": "text", "text": "What is it?"}
    assert first[0] == {"role": "user", "content": [*content, asked]}


def source(media_type: str, data: str) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": data}


def test_bytes_are_stored_once_and_never_in_the_message(store: nbchat.Store) -> None:
    chat, _ = asking(store)
    chat.ask("one", png())
    chat.ask("two", png())

    assert rows(store) == [("image/png", len(png()), 3, 2)]
    part = chat.messages()[0].parts[0]
    assert isinstance(part, Image)
    assert part_from_json(part_to_json(part)) == part
    assert (part.media_type, part.width, part.height) == ("image/png", 3, 2)
    assert store.read(lambda cursor: load_attachment(cursor, part.digest)) == png()
    assert chat.messages()[0].content == "one"


def test_paths_pictures_figures_frames_and_ready_made_ones_can_be_attached(
    store: nbchat.Store, tmp_path: Path
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    (tmp_path / "a.txt").write_text("plain words", encoding="utf-8")
    (tmp_path / "lies.txt").write_bytes(png())
    chat, seen = asking(store)
    chat.ask(
        "look", str(tmp_path / "a.txt"), tmp_path / "lies.txt", Picture.new("CMYK", (4, 4)),
        Figure(), pd.DataFrame({"x": [1, 2]}), Attachment("note", "text/plain", b"a note"),
    )  # fmt: skip

    *parts, text = seen[0].messages[0].parts
    assert text == Text("look")
    told = [(type(part), part.name, part.media_type) for part in parts]  # type: ignore[union-attr]
    assert told == [
        (File, "a.txt", "text/plain"),
        (Image, "lies.txt", "image/png"),
        (Image, "image", "image/png"),
        (Image, "image", "image/png"),
        (File, "DataFrame", "text/plain"),
        (File, "note", "text/plain"),
    ]
    held = seen[0].attachments
    assert b"2 rows and 1 columns" in held[parts[4].digest]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nowhere.png", r"no file 'nowhere\.png'"),
        ("http://127.0.0.1:9/a.png", "could not be fetched"),
        (b"", "empty"),
        (b"\x00\x01\x02", "of a kind that models do not take"),
        (b"a" * (MAX_BYTES + 1), "20,000,001 bytes, more than the 20,000,000"),
        (object(), "object cannot be attached"),
    ],
)
def test_what_cannot_be_attached_is_refused_before_anything_is_stored(
    store: nbchat.Store, wrong: Any, said: str
) -> None:
    chat, seen = asking(store)
    with pytest.raises(nbchat.ConfigError, match=said):
        chat.ask("look", wrong)

    assert (seen, chat.messages(), rows(store)) == ([], [], [])


def test_too_many_attachments_are_refused(store: nbchat.Store) -> None:
    chat, seen = asking(store)
    with pytest.raises(nbchat.ConfigError, match="31 attachments"):
        chat.ask("look", *[b"a"] * (MAX_ATTACHMENTS + 1))
    assert seen == []


def test_a_chat_that_stores_no_content_remembers_the_bytes_itself(store: nbchat.Store) -> None:
    chat, seen = asking(store, log_content=False)
    chat.ask("one", png())
    chat.ask("two")

    assert rows(store) == []
    assert [*seen[1].attachments.values()] == [png()]
    assert isinstance(seen[1].messages[0].parts[0], Image)


def test_redaction_reads_text_files_and_leaves_images_alone(store: nbchat.Store) -> None:
    chat, _ = asking(store, middleware=[nbchat.redact()])
    chat.ask("mail", b"write to someone@example.org", png())

    stored = store.read(
        lambda cursor: cursor.execute('select "data" from "attachments" order by all').fetchall()
    )
    text = next(bytes(data) for (data,) in stored if bytes(data) != png())
    assert len(stored) == 2
    assert b"someone" not in text
    assert text.startswith(b"write to ")


def test_a_key_in_a_text_file_is_not_stored(
    store: nbchat.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "".join(["made-up-", "key-of-", "a-test-1234"])
    monkeypatch.setenv("OPENAI_API_KEY", key)
    chat, seen = asking(store)
    chat.ask("read", f"key={key}".encode())

    assert [*seen[0].attachments.values()] == [b"key=[key]"]


def test_bytes_go_with_the_last_message_that_names_them(store: nbchat.Store) -> None:
    (one, _), (two, _) = asking(store), asking(store)
    one.ask("look", png(), png("blue"))
    two.ask("look", png())

    nbchat.delete_chat(one.id, store=store)
    assert len(rows(store)) == 1
    store.purge("0h", content_only=True)
    assert rows(store) == []


def test_a_transcript_names_what_was_attached(store: nbchat.Store, tmp_path: Path) -> None:
    (tmp_path / "<b>.txt").write_text("words", encoding="utf-8")
    chat, _ = asking(store)
    chat.ask("look", tmp_path / "<b>.txt")
    for ending in ("md", "html", "ipynb", "jsonl"):
        chat.export(tmp_path / f"chat.{ending}")

    assert "[file: &lt;b&gt;.txt]" in (tmp_path / "chat.html").read_text(encoding="utf-8")
    assert "b" in (tmp_path / "chat.md").read_text(encoding="utf-8")
