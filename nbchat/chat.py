"""A chat: settings that survive a restart, and turns over its store.

Composition only: the engine runs turns, the store keeps them, analytics answers questions.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nbchat.analytics import usage
from nbchat.asking import Unstored, asked, plan_of
from nbchat.branching import Branching
from nbchat.chosen import hide_keys
from nbchat.default_model import default_model
from nbchat.engine.approval import decide
from nbchat.engine.plan import MAX_TOOL_ROUNDS, Again, Plan
from nbchat.engine.running import (
    AsyncStream,
    Running,
    Stream,
    close_abandoned,
    refuse_on_engine,
    stop_abandoned,
    wait_async,
)
from nbchat.events import ApprovalEvent
from nbchat.export import export_chat
from nbchat.messages import Message
from nbchat.options import (
    ChatSettings,
    checked_columns,
    checked_mapping,
    checked_persist,
    checked_text,
    settings_of,
)
from nbchat.providers import split_model
from nbchat.store import Store, StorePlace, open_store
from nbchat.store.chats import (
    ChatRow,
    load_chat_row,
    save_chat,
)
from nbchat.store.identity import new_id
from nbchat.store.persist import recalled
from nbchat.store.tool_calls import waiting_calls
from nbchat.store.turns import load_messages

if TYPE_CHECKING:
    import pandas

NAMED = ("model", "instructions")


class Chat(Branching):
    """A conversation whose every turn is stored before you see it end.

    Made by `create_chat` and `load_chat`. The store is its only history: two Chat objects of
    one chat, here or in another notebook, are the same conversation.

    `persist={"tool_calls": False, "requests": False}` keeps no rows of these; stats() then says
    NA for what they would tell. `log_content=False` stores every metric, but nothing that is
    asked, answered, thought or passed to a tool: this Chat object alone remembers that, and a
    reloaded one goes on without it. Name, instructions and metadata are stored in any case.

    `tool_policy` and `confirm` say which tools may run and who approves, see `with_policy`.
    `tool_concurrency` is how many calls of a round run at once, `max_result_chars` how much of a
    result the model is told; None is all of them, and 30,000. `hooks` is a dict from on_tool_end
    and the like to functions, `middleware` a list of objects as `use` takes them.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        store: StorePlace = None,
        name: str | None = None,
        instructions: str | None = None,
        thinking: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        params: Mapping[str, Any] | None = None,
        tool_choice: str | None = None,
        tools: Iterable[Any] | None = None,
        tool_policy: Any = None,
        confirm: Any = None,
        tool_concurrency: int | None = None,
        max_result_chars: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        base_url: str | None = None,
        api_key: str | None = None,
        respond: Callable[..., Any] | None = None,
        hooks: Mapping[str, Any] | None = None,
        middleware: Iterable[Any] | None = None,
        table_names: Mapping[str, str] | None = None,
        columns: Mapping[str, Any] | None = None,
        persist: Mapping[str, bool] | None = None,
        log_content: bool = True,
        _overrides: Mapping[str, Any] | None = None,
        _also: Callable[[Any, str], None] | None = None,
    ) -> None:
        hide_keys()
        self._settings = settings_of(
            thinking=thinking, temperature=temperature, max_tokens=max_tokens, params=params,
            tool_choice=tool_choice, max_tool_rounds=max_tool_rounds, base_url=base_url,
            tool_policy=tool_policy, tool_concurrency=tool_concurrency,
            max_result_chars=max_result_chars, persist=checked_persist(persist, log_content),
            overrides=_overrides,
        )  # fmt: skip
        self._start(
            api_key=api_key, tools=tools, respond=respond, confirm=confirm, hooks=hooks,
            middleware=middleware, said_url=True,
        )  # fmt: skip
        self.model = model if model is not None else default_model()
        self.provider, _ = split_model(self.model)
        self.store = open_store(store, table_names=table_names)
        self.id = new_id()
        self.name = checked_text(name, "name")
        self.instructions = checked_text(instructions, "instructions")
        self.metadata: Mapping[str, Any] = checked_mapping(metadata, "metadata")
        own = checked_columns(columns)
        self.store.transact(lambda cursor: self._insert(cursor, own, _also))

    def _insert(
        self, cursor: Any, columns: Mapping[str, Any], also: Callable[[Any, str], None] | None
    ) -> None:
        row = ChatRow(
            self.id, self.name, self.model, self.provider, self.instructions,
            self._settings.to_json(), self.metadata, None, None, None,
        )  # fmt: skip
        save_chat(cursor, row, self.store.names.of("chats"), columns)
        if also is not None:
            also(cursor, self.id)

    def _start(self, **unstored: Any) -> None:
        """Take what cannot be stored."""
        self._own = Unstored.given(self._settings, **unstored)
        self._hooks, self._middleware = self._own.hooks, self._own.middleware

    @classmethod
    def _from_row(cls, store: Store, row: ChatRow) -> Self:
        chat = cls.__new__(cls)
        chat.store, chat.id, chat.name = store, row.id, row.name
        chat.model, chat.provider = row.model, row.provider
        chat.instructions, chat.metadata = row.instructions, row.metadata
        chat._settings = ChatSettings.of_json(row.settings)
        return chat

    # Asking ------------------------------------------------------------------------------

    def ask(self, text: str, *attachments: Any, **options: Any) -> Message:
        """The model's answer, stored; blocks until the turn has ended.

        Attachments are paths, web addresses, bytes, pictures, figures or frames: PNG, JPEG, GIF,
        WebP, PDF and text, up to 20 MB each. They are stored once, and sent again in later turns.
        Options for this turn only: `thinking`, `temperature`, `max_tokens`, `tool_choice`,
        `params`, `tools`, `tool_policy`, `confirm`, `max_tool_rounds`, `inputs` (what tools find
        in their ToolContext), `timeout` (seconds the provider may be silent), `wait=False` (raise
        ChatBusy instead of waiting for another turn of this chat). Raises ProviderError.
        """
        refuse_on_engine()
        close_abandoned(self.id)
        options["attachments"] = attachments
        return Running(self._plan(asked(text), stream=False, **options)).wait()

    def ask_stream(self, text: str, *attachments: Any, **options: Any) -> Stream:
        """The turn's events as they come; leaving the loop stops it and keeps what arrived."""
        close_abandoned(self.id)
        options["attachments"] = attachments
        return Stream(self._plan(asked(text), stream=True, **options))

    async def aask(self, text: str, *attachments: Any, **options: Any) -> Message:
        """`ask`, awaited; cancelling stops the turn."""
        stop_abandoned(self.id)
        options["attachments"] = attachments
        return await wait_async(Running(self._plan(asked(text), stream=False, **options)))

    def aask_stream(self, text: str, *attachments: Any, **options: Any) -> AsyncStream:
        """`ask_stream` for `async for`."""
        stop_abandoned(self.id)
        options["attachments"] = attachments
        return AsyncStream(self._plan(asked(text), stream=True, **options))

    def stop(self) -> None:
        """End the running turn from any thread; what arrived is kept."""
        for turn in list(self._own.turns):
            turn.cancel()

    def resume(self, **options: Any) -> Message:
        """The last turn's message, once the turn that was broken off has come to its end.

        Only what is missing is done: calls without results run, a reply that was cut off is asked
        for again. For turns that were stopped, interrupted, left to be approved, ended by an
        error or by too many rounds (it may then have as many again). Options as for `ask`. Raises
        ConfigError when there is nothing to resume.
        """
        refuse_on_engine()
        close_abandoned(self.id)
        return Running(self._plan(None, stream=False, **options)).wait()

    def resume_stream(self, **options: Any) -> Stream:
        """`resume`, as the events of what is still to come."""
        close_abandoned(self.id)
        return Stream(self._plan(None, stream=True, **options))

    async def aresume(self, **options: Any) -> Message:
        """`resume`, awaited; cancelling stops the turn again."""
        stop_abandoned(self.id)
        return await wait_async(Running(self._plan(None, stream=False, **options)))

    def step(self, text: str | None = None, **options: Any) -> Message:
        """The turn's message after one more move: a reply of the model, or a round of tools.

        With text a turn begins, without it the last one goes on. Between moves the message is
        `stopped`, and any process may step or resume. Options as for `ask`.
        """
        refuse_on_engine()
        close_abandoned(self.id)
        return Running(self._plan(text, stream=False, one_move=True, **options)).wait()

    def retry(self, message_id: str | None = None, **options: Any) -> Message:
        """The answer to the last question, or to that of a message's turn, asked once more.

        The turn that was there stays beside the new one, which is where the chat goes on; see
        `siblings` and `switch`. Options as for `ask`. Raises ConfigError where there is no turn.
        """
        refuse_on_engine()
        close_abandoned(self.id)
        return Running(self._plan(None, stream=False, again=Again(message_id), **options)).wait()

    def retry_stream(self, message_id: str | None = None, **options: Any) -> Stream:
        """`retry`, as the turn's events."""
        close_abandoned(self.id)
        return Stream(self._plan(None, stream=True, again=Again(message_id), **options))

    def edit(self, message_id: str, text: str, **options: Any) -> Message:
        """The answer to another text in the place of a question, with what was attached to it.

        The message may be the question or its answer. As `retry` otherwise.
        """
        refuse_on_engine()
        close_abandoned(self.id)
        again = Again(message_id, asked(text))
        return Running(self._plan(None, stream=False, again=again, **options)).wait()

    def edit_stream(self, message_id: str, text: str, **options: Any) -> Stream:
        """`edit`, as the turn's events."""
        close_abandoned(self.id)
        again = Again(message_id, asked(text))
        return Stream(self._plan(None, stream=True, again=again, **options))

    def approvals(self) -> list[ApprovalEvent]:
        """The tool calls of the last turn that wait for approval, in their order."""
        found = self.store.read(lambda cursor: waiting_calls(cursor, self.id))
        return [ApprovalEvent(**call) for call in found]

    def approve(self, call_id: str, *, always: bool = False) -> Self:
        """Let a call run that waits; with `always` its tool needs no approval in this chat again.

        The turn goes on where it waits, in whatever process; one that has ended needs resume().
        Raises ConfigError if that call does not wait.
        """
        return self._decide(call_id, "always" if always else "approved")

    def deny(self, call_id: str) -> Self:
        """Do not let a call run that waits; the model is told so."""
        return self._decide(call_id, "denied")

    def _decide(self, call_id: str, decision: str) -> Self:
        tool = decide(self.store, self.id, call_id, decision)
        self._own.always |= {tool} if decision == "always" else set()
        return self

    def _plan(self, text: str | None, **options: Any) -> Plan:
        hide_keys()
        with self._own.planning:
            return plan_of(self, self._own, text, **options)

    def _become(self, config: Mapping[str, Any]) -> None:
        """Be what an agent's class says, also in the store where that is something else."""
        model = config.get("model") or self.model
        held = self._settings
        settings = settings_of(
            **{name: value for name, value in config.items() if name not in NAMED},
            persist=held.persist, always_allow=held.always_allow, overrides=held.overrides,
        )  # fmt: skip
        instructions = checked_text(config.get("instructions"), "instructions")
        provider, _ = split_model(model)
        if (model, instructions, settings) != (self.model, self.instructions, self._settings):
            self.model, self.provider, self.instructions = model, provider, instructions
            self._change(settings, model=model, provider=provider, instructions=instructions)

    # Looking back ------------------------------------------------------------------------

    def messages(self, as_frame: bool = False) -> Any:
        """The conversation, first to last: Messages, or with `as_frame=True` one row each.

        What was said under `log_content=False` is in the Messages of the Chat object that asked
        only; otherwise such a message is empty, with a `content_removed_at`.
        """
        if as_frame:
            return usage.chat_messages(self.store, self.id)

        def load(cursor: Any) -> list[Message]:
            row = load_chat_row(cursor, self.id)
            messages = load_messages(cursor, self.id, row.head_message_id if row else None)
            return [recalled(message, self._own.remembered) for message in messages]

        return self.store.read(load)

    def stats(self, by: str | None = None) -> "pandas.DataFrame":
        """What this chat used: one row, or one per model, turn, tool, day or status."""
        return usage.usage(self.store, by, chat_id=self.id)

    def export(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the conversation to a file for its owner only; where it is.

        The path's ending is the format: .md, .html (one page that runs and loads nothing),
        .jsonl (one row a line: the current branch's messages, and all tool calls and requests of
        the chat) or .ipynb. Raises ConfigError for another ending, or a file that is there
        already unless `overwrite=True`.
        """
        hide_keys()
        return export_chat(self.store, self.id, path, overwrite=overwrite)

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"Chat({name}{self.model!r}, id={self.id!r})"


def create_chat(model: str | None = None, **options: Any) -> Chat:
    """A new chat, stored; takes what `Chat` takes.

    `model=None` means NBCHAT_MODEL, else the provider whose key is set, else a local server
    that answers, else the embedded model; raises NoModel if there is none of them.
    """
    return Chat(model, **options)


def load_chat(
    id_or_name: str,
    *,
    store: StorePlace = None,
    api_key: str | None = None,
    tools: Iterable[Any] | None = None,
    respond: Callable[..., Any] | None = None,
    confirm: Any = None,
    hooks: Mapping[str, Any] | None = None,
    middleware: Iterable[Any] | None = None,
    table_names: Mapping[str, str] | None = None,
) -> Chat | None:
    """The chat with this id, or the latest of this name; None when there is none.

    Give what cannot be stored: key, tools, the respond function, who approves, hooks (a dict
    from on_tool_start and the like to a function or several) and middleware.
    """
    hide_keys()
    place = open_store(store, table_names=table_names)
    row = place.read(lambda cursor: load_chat_row(cursor, str(id_or_name)))
    if row is None:
        return None
    chat = Chat._from_row(place, row)
    chat._start(
        api_key=api_key, tools=tools, respond=respond, confirm=confirm, hooks=hooks,
        middleware=middleware,
    )  # fmt: skip
    return chat
