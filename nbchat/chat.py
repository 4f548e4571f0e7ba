"""A chat: settings that survive a restart, and turns over its store.

Composition only: the engine runs turns, the store keeps them, analytics answers questions.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nbchat.analytics import usage
from nbchat.default_model import all_keys, default_model, key_of
from nbchat.engine.plan import MAX_TOOL_ROUNDS, Plan, Target
from nbchat.engine.running import (
    AsyncStream,
    Running,
    Stream,
    close_abandoned,
    refuse_on_engine,
    stop_abandoned,
    wait_async,
)
from nbchat.errors import ConfigError
from nbchat.exchange import Settings
from nbchat.export import export_chat
from nbchat.messages import Message, Text
from nbchat.options import (
    changed,
    checked,
    checked_columns,
    checked_key,
    checked_mapping,
    checked_persist,
    checked_rounds,
    checked_text,
    checked_timeout,
    checked_url,
    is_near,
    persist_settings,
    stored_persist,
)
from nbchat.providers import find_provider, split_model
from nbchat.store import Store, StorePlace, open_store
from nbchat.store.chats import (
    ChatRow,
    archive_chat,
    load_chat_row,
    merge_metadata,
    save_chat,
    update_chat,
)
from nbchat.store.identity import new_id
from nbchat.store.persist import recalled
from nbchat.store.turns import load_messages
from nbchat.store.values import hide
from nbchat.tools import by_name

if TYPE_CHECKING:
    import pandas


class Chat:
    """A conversation whose every turn is stored before you see it end.

    Made by `create_chat` and `load_chat`. The store is its only history: two Chat objects of
    one chat, here or in another notebook, are the same conversation.

    `persist={"tool_calls": False, "requests": False}` keeps no rows of these; stats() then says
    NA for what they would tell. `log_content=False` stores every metric, but nothing that is
    asked, answered, thought or passed to a tool: this Chat object alone remembers that, and a
    reloaded one goes on without it. Name, instructions and metadata are stored in any case.
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
        metadata: Mapping[str, Any] | None = None,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        base_url: str | None = None,
        api_key: str | None = None,
        respond: Callable[..., Any] | None = None,
        table_names: Mapping[str, str] | None = None,
        columns: Mapping[str, Any] | None = None,
        persist: Mapping[str, bool] | None = None,
        log_content: bool = True,
    ) -> None:
        _hide_keys()
        self._start(api_key, tools, respond, said_url=True)
        self.model = model if model is not None else default_model()
        self.provider, _ = split_model(self.model)
        self.store = open_store(store, table_names=table_names)
        self.id = new_id()
        self.name = checked_text(name, "name")
        self.instructions = checked_text(instructions, "instructions")
        self.metadata: Mapping[str, Any] = checked_mapping(metadata, "metadata")
        self._settings = checked(
            Settings(temperature, max_tokens, thinking, tool_choice, params or {})
        )
        self._max_tool_rounds = checked_rounds(max_tool_rounds)
        self._base_url = checked_url(base_url)
        self._persist = checked_persist(persist, log_content)
        own = checked_columns(columns)
        row = ChatRow(
            self.id, self.name, self.model, self.provider, self.instructions,
            self._stored_settings(), self.metadata, None, None, None,
        )  # fmt: skip
        self.store.transact(
            lambda cursor: save_chat(cursor, row, self.store.names.of("chats"), own)
        )

    def _start(
        self,
        api_key: str | None,
        tools: Iterable[Any] | None,
        respond: Callable[..., Any] | None,
        *,
        said_url: bool = False,
    ) -> None:
        """What cannot be stored; `said_url`: the base URL was given here, not by the store."""
        self._said_url = said_url
        self._key = checked_key(api_key)
        self._tools = by_name(tools)
        self._respond = respond
        self._turns: set[Running] = set()
        self._remembered: dict[str, Message] = {}

    @classmethod
    def _from_row(cls, store: Store, row: ChatRow) -> Self:
        chat = cls.__new__(cls)
        chat.store, chat.id, chat.name = store, row.id, row.name
        chat.model, chat.provider = row.model, row.provider
        chat.instructions, chat.metadata = row.instructions, row.metadata
        known = {field.name for field in fields(Settings)}
        stored = dict(row.settings)
        chat._settings = Settings(**{key: stored[key] for key in known & stored.keys()})
        chat._max_tool_rounds = stored.get("max_tool_rounds", MAX_TOOL_ROUNDS)
        chat._base_url = stored.get("base_url")
        chat._persist = stored_persist(stored)
        return chat

    def _stored_settings(self) -> dict[str, Any]:
        settings = {key: value for key, value in asdict(self._settings).items() if value}
        if self._settings.temperature is not None:
            settings["temperature"] = self._settings.temperature
        settings["max_tool_rounds"] = self._max_tool_rounds
        settings |= persist_settings(self._persist)
        return settings | ({"base_url": self._base_url} if self._base_url else {})

    # Asking ------------------------------------------------------------------------------

    def ask(self, text: str, **options: Any) -> Message:
        """The model's answer, stored; blocks until the turn has ended.

        Options for this turn only: `thinking`, `temperature`, `max_tokens`, `tool_choice`,
        `params`, `tools`, `timeout` (seconds the provider may be silent), `wait=False` (raise
        ChatBusy instead of waiting for another turn of this chat). Raises ProviderError.
        """
        refuse_on_engine()
        close_abandoned(self.id)
        return Running(self._plan(text, stream=False, **options)).wait()

    def ask_stream(self, text: str, **options: Any) -> Stream:
        """The turn's events as they come; leaving the loop stops it and keeps what arrived."""
        close_abandoned(self.id)
        return Stream(self._plan(text, stream=True, **options))

    async def aask(self, text: str, **options: Any) -> Message:
        """`ask`, awaited; cancelling stops the turn."""
        stop_abandoned(self.id)
        return await wait_async(Running(self._plan(text, stream=False, **options)))

    def aask_stream(self, text: str, **options: Any) -> AsyncStream:
        """`ask_stream` for `async for`."""
        stop_abandoned(self.id)
        return AsyncStream(self._plan(text, stream=True, **options))

    def stop(self) -> None:
        """End the running turn from any thread; what arrived is kept."""
        for turn in list(self._turns):
            turn.cancel()

    def _plan(
        self,
        text: str,
        *,
        stream: bool,
        tools: Iterable[Any] | None = None,
        timeout: float | None = None,
        wait: bool = True,
        **settings: Any,
    ) -> Plan:
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"There is nothing to ask in {text!r}. Give some text.")
        _hide_keys()
        return Plan(
            store=self.store,
            chat_id=self.id,
            content=text,
            parts=(Text(text),),
            target=self._target(),
            instructions=self.instructions,
            settings=changed(self._settings, settings),
            tools=self._tools if tools is None else {**self._tools, **by_name(tools)},
            max_tool_rounds=self._max_tool_rounds,
            stream=stream,
            wait=wait,
            idle_s=checked_timeout(timeout),
            persist=self._persist,
            remembered=self._remembered,
            turns=self._turns,
        )

    def _target(self) -> Target:
        name, model = split_model(self.model)
        provider = find_provider(name)
        key = self._key
        # a stranger's store may name any address: the environment's key is not for that one
        known = self._base_url in (None, provider.base_url) or is_near(self._base_url)
        if key is None and (known or self._said_url):
            key = checked_key(key_of(provider))
        return Target(provider, model, self._base_url, key, self._respond)

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
            return [recalled(message, self._remembered) for message in messages]

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
        _hide_keys()
        return export_chat(self.store, self.id, path, overwrite=overwrite)

    # Settings; each is stored at once, and returns the chat ----------------------------------

    def with_tool(self, tool: Any) -> Self:
        """Let the model call one more tool; one of the same name is replaced."""
        return self.with_tools([tool])

    def with_tools(self, tools: Iterable[Any], *, replace: bool = False) -> Self:
        """Let the model call these tools too, or with `replace=True` only these."""
        self._tools = {**({} if replace else self._tools), **by_name(tools)}
        return self

    def with_instructions(self, text: str | None, *, replace: bool = False) -> Self:
        """Add to the instructions on a new line, or with `replace=True` put them in their place."""
        added = checked_text(text, "instructions")
        joined = added if replace or not self.instructions else f"{self.instructions}\n{added}"
        self.instructions = joined
        return self._store(instructions=joined)

    def with_model(
        self, model: str, *, base_url: str | None = None, api_key: str | None = None
    ) -> Self:
        """Go on with another model; another provider drops base URL and key unless given."""
        provider, _ = split_model(model)
        url, key = checked_url(base_url), checked_key(api_key)
        if provider != self.provider:
            self._base_url, self._key = None, None
        self._base_url, self._said_url = url or self._base_url, bool(url) or self._said_url
        self._key = key or self._key
        self.model, self.provider = model, provider
        return self._store(model=model, provider=provider, settings=self._stored_settings())

    def with_thinking(self, *, budget: int | None = None, effort: str | None = None) -> Self:
        """Have the model think: up to `budget` tokens, or with an effort; neither turns it off."""
        given = {"budget": budget, "effort": effort}
        thinking = {key: value for key, value in given.items() if value is not None}
        return self._with(thinking=thinking or None)

    def with_temperature(self, temperature: float | None) -> Self:
        """Set the temperature; None leaves it to the provider."""
        return self._with(temperature=temperature)

    def with_params(self, **params: Any) -> Self:
        """Add to what is merged into every request's body as it is; None removes a key."""
        merged = {**self._settings.params, **params}
        return self._with(params={key: value for key, value in merged.items() if value is not None})

    def _with(self, **settings: Any) -> Self:
        self._settings = changed(self._settings, settings)
        return self._store(settings=self._stored_settings())

    def rename(self, name: str | None) -> Self:
        """Give the chat another name."""
        self.name = checked_text(name, "name")
        return self._store(name=self.name)

    def archive(self) -> Self:
        """Put the chat away: `list_chats()` no longer shows it, all else works as before."""
        return self._archive(True)

    def unarchive(self) -> Self:
        """Have `list_chats()` show the chat again."""
        return self._archive(False)

    def _archive(self, archived: bool) -> Self:
        self.store.transact(lambda cursor: archive_chat(cursor, self.id, archived=archived))
        return self

    def update_metadata(self, patch: Mapping[str, Any]) -> Self:
        """Merge into the metadata, key by key, in the store."""
        _hide_keys()
        given = checked_mapping(patch, "metadata")
        self.metadata = self.store.transact(lambda cursor: merge_metadata(cursor, self.id, given))
        return self

    def _store(self, **changes: Any) -> Self:
        _hide_keys()
        self.store.transact(lambda cursor: update_chat(cursor, self.id, changes))
        return self

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"Chat({name}{self.model!r}, id={self.id!r})"


def _hide_keys() -> None:
    """Have no key of this process stored or exported."""
    for key in all_keys():
        hide(key)


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
    table_names: Mapping[str, str] | None = None,
) -> Chat | None:
    """The chat with this id, or the latest of this name; None when there is none.

    Give what cannot be stored: key, tools, the respond function.
    """
    _hide_keys()
    place = open_store(store, table_names=table_names)
    row = place.read(lambda cursor: load_chat_row(cursor, str(id_or_name)))
    if row is None:
        return None
    chat = Chat._from_row(place, row)
    chat._start(api_key, tools, respond)
    return chat
