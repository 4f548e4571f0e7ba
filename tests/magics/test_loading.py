"""`%load_ext nbchat`: silent, cheap, repeatable, and taken back whole."""

import json
import subprocess
import sys

from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from nbchat import magics

SLOW = ("pandas", "duckdb", "httpx", "pydantic", "markdown_it", "pygments", "nh3", "nbchat.chat")


def traces(shell: InteractiveShell) -> list[int]:
    """What an extension may leave in a shell, counted."""
    return [
        len(shell.configurables),
        len(shell.Completer.custom_matchers),
        len(shell.input_transformers_cleanup),
        len(shell.events.callbacks["post_run_cell"]),
        len(shell.magics_manager.magics["line"]),
        len(shell.magics_manager.magics["cell"]),
        len(shell.display_formatter.ipython_display_formatter.deferred_printers),
    ]


def test_loading_prints_nothing_starts_nothing_and_imports_nothing_slow():
    program = f"""if True:
        import json, sys, threading
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell()
        before, threads = set(sys.modules), threading.active_count()
        shell.run_cell("%load_ext nbchat")
        new = [name for name in {SLOW!r} if name in sys.modules and name not in before]
        print(json.dumps([new, threading.active_count() - threads]))
    """

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == [[], 0]
    assert done.stderr == ""


def test_loading_twice_is_once_and_keeps_the_chat(notebook):
    chat = notebook.talk()
    before = traces(notebook.shell)

    magics.load(notebook.shell)

    assert traces(notebook.shell) == before
    assert notebook.run("%chat") is chat


def test_unloading_leaves_no_trace_and_may_be_repeated(notebook):
    loaded = traces(notebook.shell)
    magics.unload(notebook.shell)
    magics.unload(notebook.shell)
    bare = traces(notebook.shell)

    notebook.run("%chat hi")
    assert "`%chat` not found" in notebook.stderr

    notebook.run("%reload_ext nbchat")
    assert traces(notebook.shell) == loaded
    assert [more - less for more, less in zip(loaded, bare, strict=True)] == [1, 1, 1, 1, 2, 2, 1]


def test_two_shells_have_a_current_chat_each(notebook, terminal):
    chat = notebook.talk()

    terminal.run("%chat")

    assert terminal.stderr.startswith("UsageError: There is no chat yet.")
    assert notebook.run("%chat") is chat


def completed(notebook, text: str) -> list[str]:
    """What Tab offers at the end of the text, when only the magics are asked."""
    lines = text.split("\n")
    context = CompletionContext("", text, len(lines[-1]), len(lines) - 1, None)
    (matcher,) = notebook.shell.Completer.custom_matchers
    return [completion.text for completion in matcher(context)["completions"]]


def test_tab_completes_options_models_chats_and_variables(notebook):
    chat = notebook.talk(name="travel")
    notebook.names["table"] = 1

    assert completed(notebook, "%chat --te") == ["--temperature"]
    assert "--model" not in completed(notebook, "%%chatsql --")
    assert completed(notebook, "%chat -m anth")[0] == "anthropic/"
    assert {"talk", "travel"} == set(completed(notebook, "%%chat -c t"))
    assert completed(notebook, "%%chat\nlook at @tab") == ["table"]
    assert completed(notebook, "%chat look at @ta") == ["table", "talk"]
    assert chat.messages() == []


def test_tab_leaves_everything_else_alone(notebook):
    for text in ("x = ", "%%time\n@ta", "%chat hello wor", "%%chat\n--te", "a@ta", "%chats"):
        assert completed(notebook, text) == []


def test_tab_works_in_the_shells_own_completer(notebook):
    notebook.names["table"] = 1

    with provisionalcompleter():
        (offered,) = notebook.shell.Completer.completions("%chat --dr", 10)

    assert (offered.start, offered.end, offered.text) == (6, 10, "--dry-run")
    assert list(notebook.folder.glob("*.duckdb")) == []


def test_tab_after_chat_makes_no_store(notebook):
    assert completed(notebook, "%chat -c ") == []
    assert list(notebook.folder.glob("*.duckdb")) == []
