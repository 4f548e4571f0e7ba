"""Agents: what a chat shall be, declared in code; and sessions, which keep their history.

Code wins for model, instructions, tools and settings, which are read off the class before every
turn; the store wins for history. What was chosen for one session when it was made stays chosen.
"""

import contextvars
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from nbchat.chat import Chat
from nbchat.chosen import hide_keys
from nbchat.engine.loop import in_thread
from nbchat.engine.plan import Plan
from nbchat.engine.running import AsyncStream, Running, Stream, wait_async
from nbchat.errors import AgentClassMismatch, ConfigError, StoreError, ToolError
from nbchat.exchange import Usage
from nbchat.hooks import HOOKS, Hooked
from nbchat.messages import Message
from nbchat.options import checked_mapping, checked_text
from nbchat.store import Store, StorePlace, open_store
from nbchat.store.agents import (
    SessionRow,
    load_session,
    load_usage,
    merge_session_metadata,
    require_session,
    save_session,
)
from nbchat.store.chats import load_chat_row
from nbchat.store.identity import new_id
from nbchat.tools import Tool, ToolContext, by_name
from nbchat.tools.forms import tool_name

if TYPE_CHECKING:
    import pandas

# what a class may say and a session may choose anew when it is made; all of it is stored
CONFIG = (
    "model", "instructions", "temperature", "max_tokens", "thinking", "params", "tool_choice",
    "base_url", "max_tool_rounds", "tool_policy", "tool_concurrency", "max_result_chars",
)  # fmt: skip
# what a class may say that cannot be stored
UNSTORED = ("tools", "middleware", "confirm", "api_key", "respond", "description")
DEEPEST = 8

_depth: contextvars.ContextVar[int] = contextvars.ContextVar("nbchat_agent_depth", default=0)


class Agent:
    """What a chat shall be, as a class: set the attributes that differ, inherit the others.

    Each of them but `confirm` and `respond` may be a function of the inputs instead, which are
    the session's metadata and what is given as `inputs=` with an ask. Methods named on_tool_start,
    on_tool_end, on_request, on_response, on_message and on_error are hooks of every session.
    """

    model: Any = None
    instructions: Any = None
    tools: Any = ()
    description: Any = None
    temperature: Any = None
    max_tokens: Any = None
    thinking: Any = None
    params: Any = None
    tool_choice: Any = None
    base_url: Any = None
    max_tool_rounds: Any = None
    tool_policy: Any = None
    tool_concurrency: Any = None
    max_result_chars: Any = None
    middleware: Any = ()
    confirm: Any = None
    api_key: Any = None
    respond: Any = None

    @classmethod
    def as_tool(cls, *, name: str | None = None, description: str | None = None) -> Tool:
        """The agent as a tool of another: each call is a session of its own in the same store.

        Its turn says which tool call asked (`messages.parent_tool_call_id`); its requests are
        rows of its own chat, so that every cost is counted once. The asker's middleware is around
        its turn, too; a budget per chat is then one for each of the two chats. Who approves its
        calls is its class's word.
        """
        said = description or resolved(cls(), "description", {}) or inspect.getdoc(cls)

        async def ask(question: str, context: ToolContext) -> str:
            return await _ask_agent(cls, question, context)

        words = said if said and said != inspect.getdoc(Agent) else f"Asks {cls.__name__}."
        return Tool(ask, name=name or tool_name(cls), description=words)


def define_agent(name: str, **config: Any) -> type[Agent]:
    """An agent class without a class statement: its name, and what would be its attributes."""
    for key in config:
        if key not in (*CONFIG, *UNSTORED, *(f"on_{kind}" for kind in HOOKS)):
            known = ", ".join(sorted((*CONFIG, *UNSTORED)))
            raise ConfigError(f"An agent has no {key!r}. It may have hooks and: {known}.")
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"{name!r} is not a name for a class.")
    body = {
        key: staticmethod(value) if inspect.isroutine(value) else value
        for key, value in config.items()
    }
    return type(name, (Agent,), body)


def resolved(agent: Agent, name: str, inputs: Mapping[str, Any]) -> Any:
    """What the agent's class says, worked out for these inputs where it is a function."""
    said = inspect.getattr_static(type(agent), name, None)
    if isinstance(said, property):
        return getattr(agent, name)
    if isinstance(said, staticmethod):
        said = said.__func__
    elif isinstance(said, classmethod) or (inspect.isfunction(said) and _has_self(said)):
        said = getattr(agent, name)
    return _of_inputs(said, inputs) if callable(said) else said


def _has_self(function: Callable[..., Any]) -> bool:
    """Whether it is a method, rather than a function of the inputs put into the class."""
    names = list(inspect.signature(function).parameters)
    return bool(names) and names[0] == "self"


def _of_inputs(function: Callable[..., Any], inputs: Mapping[str, Any]) -> Any:
    takes = inspect.signature(function).parameters
    value = function(dict(inputs)) if takes else function()
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()  # or Python warns that nobody awaited it
        raise ConfigError(f"{function!r} is async. What an agent is must be said at once.")
    return value


def _function_of(agent: Agent, name: str) -> Any:
    """What the class says under a name that means a function, a method of the agent too."""
    said = inspect.getattr_static(type(agent), name, None)
    is_plain = inspect.isfunction(said) and not _has_self(said)
    return said if is_plain else getattr(agent, name, None)


class AgentSession(Hooked):
    """A conversation with an agent that outlives processes; made by `create_agent_session`.

    `chat` is the chat that holds its history. Before every turn the class is asked anew.
    """

    def __init__(self, agent: Agent, chat: Chat, row: SessionRow) -> None:
        self.agent = agent
        self.chat = chat
        self.id = row.id
        self.agent_class = row.agent_class
        self.metadata: Mapping[str, Any] = row.metadata
        self._added: list[str] = []
        self._replaced: str | None = None
        self._hooks, self._middleware = chat._hooks, chat._middleware
        chat._own.configure = self._configured

    @property
    def chat_id(self) -> str:
        """The id of the chat that holds the history."""
        return self.chat.id

    @property
    def model_id(self) -> str:
        """The model of the next turn, as the class says now, provider/name."""
        return self._config(self.metadata).get("model") or self.chat.model

    @property
    def total_usage(self) -> Usage:
        """What all turns used so far, summed in the store; None for what is not known.

        Has input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, thinking_tokens
        and cost_usd (Decimal; of the priced requests, as in stats()).
        """
        if not self.chat._settings.persist.requests:
            return Usage()
        return self.chat.store.read(lambda cursor: load_usage(cursor, self.chat_id))

    def ask(self, text: str, *attachments: Any, **options: Any) -> Message:
        """The agent's answer, as `Chat.ask`; `inputs=` go to dynamic settings and to tools."""
        return self.chat.ask(text, *attachments, **options)

    def ask_stream(self, text: str, *attachments: Any, **options: Any) -> Stream:
        """The turn's events, as `Chat.ask_stream`."""
        return self.chat.ask_stream(text, *attachments, **options)

    async def aask(self, text: str, *attachments: Any, **options: Any) -> Message:
        """`ask`, awaited."""
        return await self.chat.aask(text, *attachments, **options)

    def aask_stream(self, text: str, *attachments: Any, **options: Any) -> AsyncStream:
        """`ask_stream` for `async for`."""
        return self.chat.aask_stream(text, *attachments, **options)

    def retry(self, message_id: str | None = None, **options: Any) -> Message:
        """A question asked once more, as `Chat.retry`."""
        return self.chat.retry(message_id, **options)

    def edit(self, message_id: str, text: str, **options: Any) -> Message:
        """Another question in the place of one, as `Chat.edit`."""
        return self.chat.edit(message_id, text, **options)

    def resume(self, **options: Any) -> Message:
        """Bring a turn that was broken off to its end, as `Chat.resume`."""
        return self.chat.resume(**options)

    def stop(self) -> None:
        """End the running turn from any thread; what arrived is kept."""
        self.chat.stop()

    def messages(self, as_frame: bool = False) -> Any:
        """The conversation, as `Chat.messages`."""
        return self.chat.messages(as_frame)

    def stats(self, by: str | None = None) -> "pandas.DataFrame":
        """What the session used, as `Chat.stats`."""
        return self.chat.stats(by)

    def with_tool(self, tool: Any) -> Self:
        """Let the model call one more tool, in all later asks of this object."""
        self.chat.with_tool(tool)
        return self

    def with_instructions(self, text: str, *, replace: bool = False) -> Self:
        """Add to what the class says, or say something else, in all later asks of this object."""
        said = checked_text(text, "instructions") or ""
        if replace:
            self._replaced, self._added = said, []
        else:
            self._added.append(said)
        return self

    def update_metadata(self, patch: Mapping[str, Any]) -> Self:
        """Merge into the session's metadata, key by key, in the store."""
        hide_keys()
        given = checked_mapping(patch, "metadata")
        self.metadata = self.chat.store.transact(
            lambda cursor: merge_session_metadata(cursor, self.id, given)
        )
        return self

    def _config(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that is stored, as the class and the session's own choices say it now."""
        config = {**config_of(self.agent, inputs), **self.chat._settings.overrides}
        base = self._replaced if self._replaced is not None else config.get("instructions")
        config["instructions"] = "\n".join(filter(None, [base, *self._added])) or None
        return config

    def _configured(self, given: Mapping[str, Any]) -> tuple[Mapping[str, Tool], Mapping[str, Any]]:
        """Have the chat be what the class says; the class's tools, and the turn's inputs."""
        row = self.chat.store.read(lambda cursor: require_session(cursor, self.id))
        self.metadata = row.metadata
        inputs = {**row.metadata, **given}
        self.chat._become(self._config(inputs))
        return by_name(resolved(self.agent, "tools", inputs)), inputs

    def __repr__(self) -> str:
        return f"AgentSession({self.agent_class!r}, id={self.id!r})"


def config_of(agent: Agent, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent's class says of all that is stored, for these inputs; None is left out."""
    said = {name: resolved(agent, name, inputs) for name in CONFIG}
    return {name: value for name, value in said.items() if value is not None}


def create_agent_session(
    agent: type[Agent],
    *,
    store: StorePlace = None,
    metadata: Mapping[str, Any] | None = None,
    name: str | None = None,
    tools: Iterable[Any] | None = None,
    api_key: str | None = None,
    respond: Callable[..., Any] | None = None,
    confirm: Any = None,
    hooks: Mapping[str, Any] | None = None,
    middleware: Iterable[Any] | None = None,
    table_names: Mapping[str, str] | None = None,
    columns: Mapping[str, Any] | None = None,
    persist: Mapping[str, bool] | None = None,
    log_content: bool = True,
    **overrides: Any,
) -> AgentSession:
    """A new session of an agent and its chat, stored at once; `session.id` finds it again.

    `metadata` are the inputs of what the class says as functions. What is given besides (model,
    instructions, temperature and the like) stays chosen for this session whatever the class says
    later. `tools`, hooks and the rest that cannot be stored are this object's.
    """
    checked_class(agent)
    unknown = sorted(set(overrides) - set(CONFIG))
    if unknown:
        known = ", ".join(CONFIG)
        raise ConfigError(f"A session has no {unknown[0]!r}. It may choose: {known}.")
    chosen = checked_mapping(
        {key: value for key, value in overrides.items() if value is not None}, "overrides"
    )
    inputs, made = checked_mapping(metadata, "metadata"), agent()
    config = config_of(made, inputs) | chosen
    id_ = new_id()

    def save(cursor: Any, chat_id: str) -> None:
        save_session(cursor, SessionRow(id_, agent.__name__, chat_id, inputs))

    chat = Chat(
        **config, store=store, name=name, tools=tools, hooks=_hooks_of(made, hooks),
        table_names=table_names, columns=columns, persist=persist, log_content=log_content,
        **_unstored(
            made, inputs, api_key=api_key, respond=respond, confirm=confirm, middleware=middleware
        ),
        _overrides=chosen, _also=save,
    )  # fmt: skip
    return AgentSession(made, chat, SessionRow(id_, agent.__name__, chat.id, inputs))


def load_agent_session(
    agent: type[Agent],
    session_id: str,
    *,
    store: StorePlace = None,
    skip_class_validation: bool = False,
    tools: Iterable[Any] | None = None,
    api_key: str | None = None,
    respond: Callable[..., Any] | None = None,
    confirm: Any = None,
    hooks: Mapping[str, Any] | None = None,
    middleware: Iterable[Any] | None = None,
    table_names: Mapping[str, str] | None = None,
) -> AgentSession | None:
    """The session with this id, with its history and the class as it is now; None if there is none.

    Raises AgentClassMismatch if another class made it, unless `skip_class_validation=True`.
    """
    checked_class(agent)
    place = open_store(store, table_names=table_names)
    row = place.read(lambda cursor: load_session(cursor, str(session_id)))
    if row is None:
        return None
    if row.agent_class != agent.__name__ and not skip_class_validation:
        raise AgentClassMismatch(
            f"Agent class mismatch: session {row.id} was created with {row.agent_class!r} but "
            f"attempting to load with {agent.__name__!r}. Load it with {row.agent_class!r}, or "
            "pass skip_class_validation=True."
        )
    made = agent()
    chat = _chat_of(place, row)
    chat._start(
        tools=tools, hooks=_hooks_of(made, hooks),
        # the class's own address is the user's word, one that was chosen comes from the store
        said_url="base_url" not in chat._settings.overrides,
        **_unstored(
            made, row.metadata,
            api_key=api_key, respond=respond, confirm=confirm, middleware=middleware,
        ),
    )  # fmt: skip
    return AgentSession(made, chat, row)


def checked_class(agent: Any) -> None:
    """Raise ConfigError for what is no agent's class."""
    if not (isinstance(agent, type) and issubclass(agent, Agent)):
        raise ConfigError(f"{agent!r} is not a class derived from nbchat.Agent.")


def _chat_of(store: Store, row: SessionRow) -> Chat:
    chat = store.read(lambda cursor: load_chat_row(cursor, row.chat_id))
    if chat is None:
        raise StoreError(
            f"The chat {row.chat_id} of session {row.id} is not in the store. "
            "store.doctor(repair=True) removes such sessions."
        )
    return Chat._from_row(store, chat)


def _hooks_of(agent: Agent, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The class's hooks first, then those that were given."""
    hooks = {kind: [hook] for kind in HOOKS if callable(hook := _function_of(agent, f"on_{kind}"))}
    for name, more in (given or {}).items():
        kind = str(name).removeprefix("on_")
        hooks[kind] = [*hooks.get(kind, []), *(more if isinstance(more, list | tuple) else [more])]
    return hooks


def _unstored(
    agent: Agent,
    inputs: Mapping[str, Any],
    *,
    api_key: Any,
    respond: Any,
    confirm: Any,
    middleware: Iterable[Any] | None,
) -> dict[str, Any]:
    """What cannot be stored: as it was given, else as the class says."""
    return {
        "api_key": api_key or resolved(agent, "api_key", inputs),
        "respond": respond or _function_of(agent, "respond"),
        "confirm": confirm if confirm is not None else _function_of(agent, "confirm"),
        "middleware": [*(resolved(agent, "middleware", inputs) or ()), *(middleware or ())],
    }


async def _ask_agent(agent: type[Agent], question: str, context: ToolContext) -> str:
    """What a fresh session of the agent answers; its turn is linked to the call it is in."""
    depth = _depth.get()
    if depth >= DEEPEST:
        raise ToolError(f"Agents have asked agents {DEEPEST} times. Answer without another one.")
    asker, kept = context.chat, context.chat._settings.persist

    def planned() -> Plan:  # on a thread, for the engine's must not wait for the store
        session = create_agent_session(
            agent, store=asker.store, log_content=kept.content,
            persist={"tool_calls": kept.tool_calls, "requests": kept.requests},
        )  # fmt: skip
        # what bounds and redacts the asker does so for whatever it causes
        session.chat._own.middleware[:0] = asker._own.middleware
        return session.chat._plan(question, stream=False, inputs=context.inputs)

    token = _depth.set(depth + 1)
    try:
        message = await wait_async(Running(await in_thread(planned)))
    except ToolError as fatal:  # to the agent's turn, which it has ended, not to the asker's
        raise ToolError(str(fatal)) from fatal
    finally:
        _depth.reset(token)
    if message.status != "complete":
        error = message.error if isinstance(message.error, Mapping) else {}
        reason = error.get("message", "no reason given")
        raise ToolError(f"{agent.__name__} was stopped: {reason}")
    return message.content
