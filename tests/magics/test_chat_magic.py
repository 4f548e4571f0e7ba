"""`%chat` and `%%chat` in a real shell: what is asked, shown, bound and stored."""

import _thread
import threading

import pytest

import nbchat
from nbchat.messages import ToolCall


def rows(chat: nbchat.Chat) -> list[tuple[str, str, str]]:
    frame = nbchat.sql("select role, status, content from messages order by seq", store=chat.store)
    return list(frame.itertuples(index=False, name=None))


def test_a_cell_asks_and_leaves_one_static_output(notebook):
    notebook.talk(iter(["**Hel", "lo** ", "<script>x</script>"]))

    notebook.run("%%chat\nSay\n  hello")

    assert notebook.asked() == ["Say\n  hello"]
    first, *updates = notebook.outputs
    assert not first["update"]
    assert updates
    assert all(update["update"] for update in updates)
    assert {output["transient"]["display_id"] for output in notebook.outputs} == {
        first["transient"]["display_id"]
    }
    assert {tuple(sorted(output["data"])) for output in notebook.outputs} == {
        ("text/html", "text/plain")
    }
    assert "<strong>Hello</strong> &lt;script&gt;" in notebook.html()
    assert "turn 1" in notebook.html()
    assert "Hello" not in notebook.stdout
    assert notebook.stderr == ""


def test_a_line_goes_on_with_the_same_chat(notebook):
    chat = notebook.talk("one", "two")

    notebook.run("%chat first")
    notebook.run("%chat second")

    assert notebook.asked() == ["first", "one", "second"]
    assert [content for _, _, content in rows(chat)] == ["first", "one", "second", "two"]


def test_the_answer_is_the_cells_value_and_is_shown_once(notebook):
    notebook.talk("yes")

    message = notebook.run("%%chat\nreally?")

    assert isinstance(message, nbchat.Message)
    assert str(message) == "yes"
    assert "yes" not in notebook.stdout
    assert notebook.run("_") is message
    assert "yes" in notebook.stdout  # a later cell shows it again


def test_a_line_can_be_assigned(notebook):
    notebook.talk("yes")

    notebook.run("answer = %chat don't you?")

    assert str(notebook.names["answer"]) == "yes"
    assert notebook.asked() == ["don't you?"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("%chat who are you?", "who are you?"),
        ("if True:\n    %chat is 'it' \\x?", "is 'it' \\x?"),
        ("answer = %chat really??  ", "really??"),
    ],
)
def test_a_line_that_ends_in_a_question_mark_is_a_question(notebook, source, text):
    notebook.talk("yes")

    notebook.run(source)

    assert notebook.asked() == [text]


def test_out_binds_the_message(notebook):
    notebook.talk("yes")

    notebook.run("%%chat -o reply\nreally?")

    assert str(notebook.names["reply"]) == "yes"


def test_a_bad_name_for_out_is_refused_before_anything_is_sent(notebook):
    notebook.talk()

    notebook.run("%chat -o not-a-name hello")

    assert notebook.stderr == "UsageError: 'not-a-name' is not a name for a variable.\n"
    assert notebook.script.requests == []


@pytest.mark.parametrize("source", ["%chat -q hello", "%chat hello;", "%%chat --quiet\nhello"])
def test_quiet_shows_nothing_and_still_gives_the_message(notebook, source):
    notebook.talk("yes")

    assert str(notebook.run(source)) == "yes"

    assert notebook.outputs == []
    assert "yes" not in notebook.stdout
    assert notebook.asked() == ["hello"]


def test_without_text_the_current_chat_is_the_value(notebook):
    chat = notebook.talk()

    assert notebook.run("%chat") is chat
    assert "function/x · 0 turns · cost" not in notebook.stderr
    assert "function/x · 0 turns" in notebook.stdout


def test_without_text_and_without_a_chat_it_says_how_to_begin(notebook):
    notebook.run("%chat")

    assert notebook.stderr.startswith("UsageError: There is no chat yet.")
    assert list(notebook.folder.glob("*.duckdb")) == []


def test_an_empty_cell_is_not_sent(notebook):
    notebook.talk()

    notebook.run("%%chat\n  \n")

    assert notebook.stderr.startswith("UsageError: There is nothing to ask")
    assert notebook.script.requests == []


def test_a_new_chat_takes_the_default_model_and_store(notebook, monkeypatch):
    monkeypatch.setenv("NBCHAT_MODEL", "function/default")

    chat = notebook.run("%chat -c travel -s 'Be terse.'")

    assert (chat.model, chat.name, chat.instructions) == ("function/default", "travel", "Be terse.")
    assert chat.store.path == str(notebook.folder / "nbchat.duckdb")


def test_configured_model_and_store_are_those_of_new_chats(notebook):
    notebook.run('%config NbChat.model = "function/mine"')
    notebook.run('%config NbChat.store = "mine.duckdb"')

    chat = notebook.run("%chat --new")

    assert chat.model == "function/mine"
    assert chat.store.path == str(notebook.folder / "mine.duckdb")


def test_chats_are_found_by_variable_then_by_name_and_made_when_new(notebook):
    first = notebook.talk()
    first.rename("first")

    second = notebook.run("%chat -m function/y -c second")

    assert (second.name, second.model) == ("second", "function/y")
    assert notebook.run("%chat -c first").id == first.id
    assert notebook.run("%chat -c second").id == second.id
    assert notebook.run("%chat -c talk") is first
    assert notebook.run("%chat -c second --new").id != second.id
    assert len(nbchat.list_chats(store=first.store)) == 3


def test_model_and_system_go_on_with_the_chat_and_temperature_only_with_the_turn(notebook):
    chat = notebook.talk("a", "b")

    notebook.run('%chat -m function/y -s "Be brief." -t 0.5 hello')
    notebook.run("%chat again")

    first, second = notebook.script.requests
    assert (first.model, first.instructions, first.settings.temperature) == ("y", "Be brief.", 0.5)
    assert (second.model, second.instructions) == ("y", "Be brief.")
    assert second.settings.temperature is None
    assert nbchat.load_chat(chat.id, store=chat.store).instructions == "Be brief."


def test_text_is_printed_in_a_terminal_as_it_comes(terminal):
    terminal.talk(iter(["Hel", "lo\x1b]0;title\x07", " there"]))

    terminal.run("%%chat\nhi")

    assert terminal.outputs == []
    assert terminal.stdout.startswith("Hello there\n")
    assert terminal.stdout.count("Hello there") == 1
    assert "function/x" in terminal.stdout
    assert "<" not in terminal.stdout


def test_tool_calls_are_named_in_a_terminal(terminal):
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    terminal.talk(["Let me see.", ToolCall("add", {"a": 1, "b": 2}, "c1")], "3", tools=[add])

    terminal.run("%chat 1 + 2?")

    assert terminal.stdout.startswith("Let me see.\n[tool] add(a=1, b=2) -> running\n3\n")


def test_format_text_prints_plain_text_on_a_page(notebook):
    notebook.talk("**bold**")

    notebook.run("%chat -f text hi")

    assert notebook.outputs == []
    assert notebook.stdout.removesuffix("Out[2]: ") == "**bold**\n"


def test_format_json_prints_what_the_answer_holds(notebook):
    notebook.talk('```json\n{"a": [1]}\n```', "no json")

    notebook.run("%chat -f json hi")
    assert notebook.stdout.removesuffix("Out[2]: ") == '{\n  "a": [\n    1\n  ]\n}\n'

    notebook.run("%chat -f json hi")
    assert notebook.stderr == "UsageError: The answer is not JSON: no json\n"


def test_a_dry_run_shows_what_would_be_sent_and_sends_and_stores_nothing(notebook):
    chat = notebook.talk(instructions="Be brief.")
    notebook.names["x"] = 41

    notebook.run("%%chat --dry-run -s 'Be long.' -m function/z\nIs it {{ x + 1 }}?")

    assert notebook.stdout == (
        "model: function/z\ninstructions: Be long.\nmessages before: 0\ntext:\nIs it 42?\n"
    )
    assert notebook.script.requests == []
    assert rows(chat) == []
    assert (chat.model, chat.instructions) == ("function/x", "Be brief.")


def test_a_dry_run_without_a_chat_makes_none(notebook, monkeypatch):
    monkeypatch.setenv("NBCHAT_MODEL", "function/default")

    notebook.run("%chat --dry-run hello")

    assert notebook.stdout.startswith("model: function/default\n")
    assert list(notebook.folder.glob("*.duckdb")) == []


def test_a_failed_turn_is_one_line_and_its_output_says_so(notebook):
    def fails(request):
        yield "As far as"
        raise nbchat.BadRequest("The provider refused this.", status=400)

    chat = notebook.talk(fails)

    notebook.run("%%chat\nhello")

    assert notebook.stderr == "UsageError: The provider refused this.\n"
    assert "As far as" in notebook.html()
    assert "failed: BadRequest: The provider refused this." in notebook.html()
    assert "failed" in notebook.outputs[-1]["data"]["text/plain"]
    assert rows(chat) == [("user", "failed", "hello")]


def test_a_turn_out_of_tool_rounds_shows_what_the_store_kept(notebook):
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    call = ToolCall("add", {"a": 1, "b": 2}, "c1")
    notebook.talk(["Adding.", call], ["More.", call], tools=[add], max_tool_rounds=1)

    notebook.run("%chat add")

    assert notebook.stderr.startswith("UsageError: ")
    assert notebook.stderr.count("\n") == 1
    assert "Adding." in notebook.html()
    assert "stopped: ToolRoundsExceeded" in notebook.html()
    assert "waiting" not in notebook.html()


def test_an_interrupt_keeps_and_shows_the_partial_answer(notebook):
    ended = threading.Event()

    def interrupted(request):
        yield "Once upon"
        _thread.interrupt_main()  # as Ctrl-C does
        ended.wait(30)

    chat = notebook.talk(interrupted)

    notebook.run("%chat hello")
    ended.set()

    assert "KeyboardInterrupt" in notebook.stderr + notebook.stdout
    assert rows(chat) == [("user", "complete", "hello"), ("assistant", "stopped", "Once upon")]
    assert "Once upon" in notebook.html()
    assert "stopped" in notebook.html()


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("%chat --colour red hi", "There is no option --colour."),
        ("%chat -m", "-m needs a value: -m MODEL."),
        ("%chat -t warm hi", "-t warm is not a number."),
        ("%chat -f yaml hi", "There is no format 'yaml'. Use html, text, json."),
        ("%chat -m gpt-9 hi", "gpt-9"),
        ("%chat --new -m nowhere/x hi", "nowhere"),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_sent(notebook, source, complaint):
    notebook.talk()

    notebook.run(source)

    assert notebook.failed
    assert notebook.stderr.startswith("UsageError: ")
    assert complaint in notebook.stderr
    assert notebook.stderr.count("\n") == 1
    assert notebook.script.requests == []


@pytest.mark.parametrize("magic", ["chat", "chatsql"])
def test_help_and_question_mark_tell_every_option(notebook, magic):
    notebook.run(f"%{magic} -h")
    told = notebook.stdout
    documentation = notebook.shell.object_inspect(f"%{magic}")["docstring"]

    assert notebook.run(f"%{magic} --help") is None
    assert notebook.stdout == told
    assert [line.strip() for line in told.splitlines() if line.strip()] == [
        line.strip() for line in documentation.splitlines() if line.strip()
    ]
    for flag in ("-o", "--out", "-h", "--help", *(["-m", "--dry-run"] if magic == "chat" else [])):
        assert f" {flag}" in told
