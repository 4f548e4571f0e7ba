"""The magics themselves: parse, call, show.

Errors of nbchat are one line, as IPython's own usage errors. The current chat lives here, one
per shell. Nothing slow is imported before a magic is used.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Unicode

import nbchat
from nbchat.errors import NbchatError
from nbchat.magics.completion import completions
from nbchat.magics.options import CHAT, CHATSQL, documented, parse, split_binding
from nbchat.magics.templates import fill
from nbchat.messages import Message
from nbchat.render.plain import one_line
from nbchat.variables import is_frame

if TYPE_CHECKING:
    from nbchat.chat import Chat
    from nbchat.store import Store

FORMATS = ("html", "text", "json")
WORD = re.compile(r"\w+")
FENCE = re.compile(r"^\s*```\w*\s*\n|\n\s*```\s*$")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Errors that are meant for the user, without a traceback."""
    try:
        yield
    except NbchatError as error:
        raise UsageError(one_line(str(error), 2_000)) from error


def say(text: str | None) -> None:
    """Print it."""
    print(text)  # noqa: T201  a magic speaks to the person at the notebook


@magics_class
class NbChat(Magics):
    """`%chat` and `%chatsql`."""

    shell: Any

    model = Unicode("", help="the model of new chats, provider/name").tag(config=True)
    store = Unicode("", help="the file of new chats").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.current: Chat | None = None
        self._shown = ""

    @line_cell_magic
    @no_var_expand
    @documented(CHAT)
    def chat(self, line: str, cell: str | None = None) -> Any:
        """Ask the current chat; one is started when there is none.

            %chat [options] text
            %%chat [options]
            text

        `{{ expression }}` and `@variable` in the text are replaced by their values. Without
        text, the current chat itself: `chat = %chat`. A line that ends in `;` shows nothing.
        """
        given, text = parse(line, CHAT)
        if "help" in given:
            return say(NbChat.chat.__doc__)
        if cell is None and text.endswith(";"):
            text, given["quiet"] = text.removesuffix(";"), ""
        text = "\n".join(piece for piece in (text, cell) if piece).rstrip("\n")
        if cell is not None and not text.strip():
            raise UsageError("There is nothing to ask: write the text below the first line.")
        with one_line_errors():
            return self._chat(given, text)

    @line_cell_magic
    @no_var_expand
    @documented(CHATSQL)
    def chatsql(self, line: str, cell: str | None = None) -> Any:
        """Ask the current chat's store one read-only question in SQL; the answer is a frame.

            %chatsql [options] select ...
            %%chatsql [options] [NAME <<]
            select ...

        Frames of the notebook may be named in the SQL; a table of the store goes before a
        frame of its name. `NAME <<` binds the answer instead of showing it.
        """
        given, text = parse(line, CHATSQL)
        if "help" in given:
            return say(NbChat.chatsql.__doc__)
        name, sql = split_binding("\n".join(piece for piece in (text, cell) if piece))
        name = checked_name(name or given.get("out", ""))
        if not sql.strip():
            raise UsageError("There is no SQL: try `select * from turns`.")
        with one_line_errors():
            store = nbchat.open_store(self._store())
            frame = store.sql(sql, frames=self._frames(sql, store))
        if not name:
            return frame
        self.shell.user_ns[name] = frame
        return None

    @context_matcher()  # type: ignore[untyped-decorator]  # theirs
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """What Tab offers on the line of a magic, and after `@` in its text."""
        return completions(context, self.shell.user_ns, self._store)

    def skip_shown(self, message: Message) -> None:
        """Keep a message that has just streamed from being shown again as the cell's value."""
        if message.id != self._shown:
            raise NotImplementedError
        if not self._has_pages():
            from nbchat.render.transcript import footer_of

            say(footer_of(message))  # behind Out[1]: in a terminal

    def forget_shown(self, result: Any = None) -> None:
        """From the next cell on, a message shows itself again."""
        self._shown = ""

    def close(self) -> None:
        """Let go of the chat: DuckDB complains of what still lives when Python has ended."""
        self.current = None

    def _chat(self, given: Mapping[str, str], text: str) -> Any:
        name = checked_name(given.get("out", ""))
        if "raw" not in given:
            text = fill(text, self.shell.user_ns, self.shell.ev)
        options = turn_options(given)
        if "dry-run" in given:
            return say(self._preview(given, text))
        if not (text or self.current or given):
            raise UsageError("There is no chat yet. `%chat some text` starts one, -h tells more.")
        chat = self.current = self._choose(given)
        if not text:
            return chat
        message = self._ask(chat, text, options, given)
        if name:
            self.shell.user_ns[name] = message
        return message

    def _ask(
        self, chat: "Chat", text: str, options: Mapping[str, Any], given: Mapping[str, str]
    ) -> Message:
        from nbchat.magics.show import follow, view_for

        shape = given.get("format") or ("html" if self._has_pages() else "text")
        view = view_for("" if "quiet" in given else shape, self.shell)
        # a person is here to approve, unless the chat has somebody of its own
        confirm = "wait" if chat._own.confirm == "deny" else None
        message = follow(chat, chat.ask_stream(text, confirm=confirm, **options), view)
        self._shown = message.id
        if shape == "json" and "quiet" not in given:
            say(pretty_json(message.content))
        return message

    def _choose(self, given: Mapping[str, str]) -> "Chat":
        """The chat that is meant, with the settings that were given; created if need be."""
        chat = None if "new" in given else self._existing(given.get("chat"))
        model, system = given.get("model"), given.get("system")
        if chat is None:
            return nbchat.create_chat(
                model or self.model or None,
                name=given.get("chat"),
                instructions=system,
                store=self._store(),
            )
        if model and model != chat.model:
            chat.with_model(model)
        if system is not None and system != chat.instructions:
            chat.with_instructions(system, replace=True)
        return chat

    def _existing(self, name: str | None) -> "Chat | None":
        if name is None:
            return self.current
        bound = self.shell.user_ns.get(name)
        if isinstance(bound, nbchat.Chat):
            return bound
        if self.current and self.current.name == name:
            return self.current
        return nbchat.load_chat(name, store=self._store())

    def _preview(self, given: Mapping[str, str], text: str) -> str:
        from nbchat.default_model import default_model

        chat = None if "new" in given else self._existing(given.get("chat"))
        model = given.get("model") or (chat.model if chat else self.model) or default_model()
        system = given.get("system", chat.instructions if chat else None)
        count = len(chat.messages()) if chat else 0
        return (
            f"model: {model}\ninstructions: {system or 'none'}\nmessages before: {count}\n"
            f"text:\n{text}"
        )

    def _store(self) -> "Store | str | None":
        return self.current.store if self.current else self.store or None

    def _frames(self, sql: str, store: "Store") -> dict[str, Any]:
        """The notebook's frames that the SQL names, but for names of the store's own."""
        words = {word.lower() for word in WORD.findall(sql)}
        frames = {
            name: value
            for name, value in self.shell.user_ns.items()
            if name.lower() in words and is_frame(value)
        }
        if not frames:
            return {}
        taken = set(store.sql("show tables")["name"].str.lower())
        return {name: frame for name, frame in frames.items() if name.lower() not in taken}

    def _has_pages(self) -> bool:
        """Whether HTML can be shown: IPython in a terminal only formats text."""
        return "text/html" in self.shell.display_formatter.active_types


def turn_options(given: Mapping[str, str]) -> dict[str, Any]:
    """The options of this turn alone; raises UsageError for one that cannot be meant."""
    if given.get("format", "html") not in FORMATS:
        raise UsageError(f"There is no format {given['format']!r}. Use {', '.join(FORMATS)}.")
    if "temperature" not in given:
        return {}
    try:
        return {"temperature": float(given["temperature"])}
    except ValueError:
        raise UsageError(f"-t {given['temperature']} is not a number.") from None


def checked_name(name: str) -> str:
    """The name, if a variable can have it; '' is none."""
    if name and (not name.isidentifier() or iskeyword(name)):
        raise UsageError(f"{name!r} is not a name for a variable.")
    return name


def pretty_json(text: str) -> str:
    """The JSON in an answer, indented, without the fence models put around it."""
    try:
        return json.dumps(json.loads(FENCE.sub("", text)), indent=2, ensure_ascii=False)
    except ValueError:
        raise UsageError(f"The answer is not JSON: {one_line(text, 200)}") from None
