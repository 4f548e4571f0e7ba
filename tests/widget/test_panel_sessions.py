"""The panel's own side of the conversation, on a real store, without a browser."""

import queue
import threading

import pytest
from pages import Page

import nbchat
from nbchat.testing import scripted


@pytest.fixture
def store(tmp_path):
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture
def open_page():
    pages = []

    def open_page(chat, **options):
        pages.append(Page(chat, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.session.close()


def chat_of(store, *script, **options):
    return nbchat.create_chat("function/x", store=store, respond=scripted(script), **options)


def words_of(message):
    """What the page shows of an answer, without its HTML."""
    return "".join(block.get("html", block.get("text", "")) for block in message["blocks"])


def test_what_is_sent_appears_with_its_stored_id_before_the_answer(store, open_page):
    gate = threading.Event()

    def respond(request):
        gate.wait()
        yield "Hello."

    page = open_page(nbchat.create_chat("function/x", store=store, respond=respond))
    rid = page.say("send", text="Hi")
    ack = page.until_op("ack", rid=rid)
    page.until(lambda told: told["op"] == "status" and told["status"]["state"] == "waiting")

    [asked] = nbchat.sql("select id from messages where role = 'user'", store=store)["id"]
    assert ack["id"] == asked
    assert page.texts == ["Hi", ""]
    gate.set()
    page.until_idle()
    assert page.texts == ["Hi", "Hello."]


def test_text_streams_into_the_blocks_and_ends_as_the_stored_message(store, open_page):
    chat = chat_of(store, iter(["One **two**", " three.\n\n", "Four."]))
    page = open_page(chat)

    page.ask("Count")

    assert [block["kind"] for block in page.messages[1]["blocks"]] == ["text", "text"]
    assert "<strong>two</strong> three." in words_of(page.messages[1])
    assert page.messages[1]["state"] == "complete"
    assert page.status["state"] == "idle"
    assert page.chat["title"] == "Count"


def test_a_wish_that_comes_twice_is_done_once(store, open_page):
    chat = chat_of(store, "one", "two")
    page = open_page(chat)

    page.say("send", text="Hi", rid="same")
    page.say("send", text="Hi", rid="same")
    page.until_idle()

    assert len(chat.messages()) == 2


def test_stop_keeps_what_arrived_and_says_so(store, open_page):
    gate = threading.Event()

    def respond(request):
        yield "Half an answer"
        gate.wait()
        yield "never"

    chat = nbchat.create_chat("function/x", store=store, respond=respond)
    page = open_page(chat)
    page.say("send", text="Hi")
    page.until(lambda told: told["op"] == "blk")
    page.say("stop")
    page.until_idle()
    gate.set()

    assert chat.messages()[-1].status == "stopped"
    assert page.messages[-1]["state"] == "stopped"
    assert "Half an answer" in words_of(page.messages[-1])
    assert page.messages[-1]["retry"]


def test_a_turn_that_fails_leaves_the_question_with_the_reason(store, open_page):
    page = open_page(chat_of(store, nbchat.BadRequest("no such thing", status=400), "fine"))

    page.ask("Hi")

    assert [message["state"] for message in page.messages] == ["failed"]
    assert "no such thing" in page.messages[0]["note"]
    assert page.messages[0]["retry"]


def delete_all(city: str) -> str:
    """Delete everything."""
    return f"deleted {city}"


def test_a_tool_waits_for_the_reader_and_runs_when_approved(store, open_page):
    from nbchat.messages import ToolCall

    chat = chat_of(
        store, [ToolCall("delete_all", {"city": "Oslo"}, "c1")], "Done.",
        tools=[delete_all], tool_policy="confirm",
    )  # fmt: skip
    page = open_page(chat)
    page.say("send", text="Delete it")
    page.until(lambda told: told["op"] == "blk" and told["blocks"][-1].get("ask"))
    ask = page.messages[-1]["blocks"][-1]["ask"]

    page.say("decide", call=ask["call"], nonce="forged", ok=True, always=False)
    page.until_op("err")
    page.say("decide", call=ask["call"], nonce=ask["nonce"], ok=True, always=False)
    page.until_idle()

    rows = nbchat.sql("select status, approval, result from tool_calls", store=store)
    assert rows.to_dict("records") == [
        {"status": "ok", "approval": "approved", "result": "deleted Oslo"}
    ]
    assert page.texts[-1] == "Done."


def test_what_a_cell_asks_appears_in_every_panel_of_the_chat(store, open_page):
    chat = chat_of(store, "from a cell")
    one, two = open_page(chat), open_page(nbchat.load_chat(chat.id, store=store))

    chat.ask("Asked in a cell")
    one.until_idle()
    two.until_idle()

    assert one.texts == two.texts == ["Asked in a cell", "from a cell"]


def test_what_another_object_changes_is_seen_without_asking(store, open_page):
    chat = chat_of(store)
    page = open_page(chat)

    nbchat.load_chat(chat.id, store=store).rename("Another name")
    page.until(lambda told: told["op"] == "snap" and told["chat"]["title"] == "Another name")


def test_editing_makes_a_sibling_and_the_reader_can_go_back(store, open_page):
    chat = chat_of(store, "first", "second")
    page = open_page(chat)
    page.ask("Hi")
    asked = page.messages[0]["id"]

    page.say("edit", id=asked, text="Hi there")
    page.until_idle()
    assert page.texts == ["Hi there", "second"]
    place = page.messages[0]["sib"]
    assert (place["at"], place["of"]) == (2, 2)

    page.say("switch", id=place["ids"][0])
    page.until(lambda told: told["op"] == "snap" and told["msgs"][0]["id"] == asked)
    assert page.texts == ["Hi", "first"]


def test_a_rating_is_stored_and_shown_again(store, open_page):
    chat = chat_of(store, "first")
    page = open_page(chat)
    page.ask("Hi")

    page.say("rate", id=page.messages[1]["id"], rating=-1, note="too short")
    page.until_op("snap")

    rows = nbchat.sql("select rating, note from feedback", store=store)
    assert rows.to_dict("records") == [{"rating": -1, "note": "too short"}]
    assert (page.messages[1]["rating"], page.messages[1]["note_text"]) == (-1, "too short")


def test_the_drawer_lists_finds_renames_pins_and_deletes(store, open_page):
    chat_of(store, "Whales are large.", name="whales").ask("Tell me of whales")
    page = open_page(chat_of(store, "Hello."))
    page.ask("Hi")

    page.say("list", query="")
    rows = page.until_op("list")["chats"]
    assert [(row["title"], row["here"], row["facts"]) for row in rows] == [
        ("Hi", True, "1 turn · function/x"), ("whales", False, "1 turn · function/x"),
    ]  # fmt: skip
    page.say("list", query="large")
    [row] = page.until_op("list")["chats"]
    assert (row["title"], "large" in row["snippet"]) == ("whales", True)
    page.say("rename", id=row["id"], title="Cetaceans")
    assert "Cetaceans" in [row["title"] for row in page.until_op("list")["chats"]]
    page.say("pin", id=row["id"], on=True)
    assert [r["title"] for r in page.until_op("list")["chats"] if r["pinned"]] == ["Cetaceans"]
    page.say("open", id=row["id"])
    page.until(lambda told: told["op"] == "snap" and told["chat"]["title"] == "Cetaceans")
    assert page.texts == ["Tell me of whales", "Whales are large."]
    page.say("delete", id=row["id"])
    assert [row["title"] for row in page.until_op("list")["chats"] if not row["here"]] == ["Hi"]


def test_a_long_chat_opens_with_its_end_and_gives_the_rest_when_asked(store, open_page):
    chat = chat_of(store, *[f"answer {number}" for number in range(40)])
    for number in range(40):
        chat.ask(f"question {number}")

    page = open_page(chat)
    assert len(page.messages) == 50
    assert page.told[-1]["more"] or page.told[-2]["more"]
    page.say("older", before=page.messages[0]["id"])
    assert page.until_op("older")["more"] is False
    assert len(page.messages) == 80
    assert page.texts[0] == "question 0"


def test_a_variable_that_is_named_goes_along_and_is_shown_before(store, open_page):
    sent = []
    chat = nbchat.create_chat(
        "function/x", store=store, respond=lambda request: sent.append(request) or "ok"
    )
    page = open_page(chat, names={"threshold": 42, "_hidden": 1})

    page.say("names", prefix="")
    assert [item["name"] for item in page.until_op("names")["items"]] == ["threshold"]
    page.say("draft", text="Is @threshold high? me@example.org")
    page.until(lambda told: told["op"] == "chips" and told["chips"])
    assert [chip["label"] for chip in page.chips] == ["@threshold"]
    page.ask("Is @threshold high?")

    kinds = [part.kind for part in sent[0].messages[-1].parts]
    assert kinds == ["file", "text"]
    assert page.texts[0] == "Is @threshold high?"


def test_slash_commands_do_what_they_say_and_are_never_sent(store, open_page):
    asked = []
    chat = nbchat.create_chat(
        "function/x", store=store, respond=lambda request: asked.append(request) or "ok"
    )
    page = open_page(chat, commands={"shout": lambda text: text.upper()})

    page.say("send", text="/help")
    assert "/shout" in page.until_op("ack")["text"]
    page.say("send", text="/nonsense")
    assert "/nonsense" in page.until_op("err")["text"]
    page.say("send", text="/system Be brief.")
    page.until_op("ack")
    assert nbchat.load_chat(chat.id, store=store).instructions == "Be brief."
    page.say("send", text="/model function/y")
    page.until(lambda told: told["op"] == "snap" and told["chat"]["model"] == "function/y")
    assert asked == []
    page.ask("/shout hello")
    assert page.texts[0] == "HELLO"
    page.ask("/usr/bin is a folder")
    assert page.texts[2] == "/usr/bin is a folder"


def test_nonsense_from_the_page_is_ignored(store, open_page):
    chat = chat_of(store, "fine")
    page = open_page(chat)

    nonsense = [
        None, 7, [], {}, {"op": "send"}, {"op": "rm", "rid": "1"},
        {"op": "send", "rid": 1, "text": "x"}, {"op": "decide", "call": "x"},
    ]  # fmt: skip
    for content in nonsense:
        page.session.take(content)
    page.ask("Hi")

    assert page.texts == ["Hi", "fine"]


def test_the_saved_transcript_comes_to_have_every_turn(store, open_page):
    class Kept(queue.SimpleQueue):
        def update(self, messages, title, store_path, pictures):
            self.put([message.content for message in messages])

    chat, kept = chat_of(store, "one", "two", "three"), Kept()
    open_page(chat, saved=kept)

    for text in ("a", "b", "c"):
        chat.ask(text)

    while kept.get(timeout=20) != ["a", "one", "b", "two", "c", "three"]:
        pass
