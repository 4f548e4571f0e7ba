"""Talk to language models from a notebook and keep what was said, in a DuckDB file you own.

The public names; each is loaded when it is first used, so that importing nbchat is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Panel": "widget.panel",
    "open_panel": "widget.panel",
    "Chat": "chat",
    "create_chat": "chat",
    "load_chat": "chat",
    "compact": "stores",
    "delete_chat": "stores",
    "doctor": "stores",
    "list_chats": "stores",
    "purge": "stores",
    "search": "stores",
    "sql": "stores",
    "stats": "stores",
    "Store": "store",
    "open_store": "store",
    "Message": "messages",
    "Agent": "agents",
    "AgentSession": "agents",
    "create_agent_session": "agents",
    "define_agent": "agents",
    "load_agent_session": "agents",
    "AgentClassMismatch": "errors",
    "BudgetExceeded": "errors",
    "budget": "middleware",
    "log_usage": "middleware",
    "redact": "middleware",
    "CONTINUE": "hooks",
    "RETRY": "hooks",
    "STOP": "hooks",
    "Tool": "tools",
    "ToolContext": "tools",
    "tool": "tools",
    "AuthFailed": "errors",
    "BadRequest": "errors",
    "BrokenStream": "errors",
    "ChatBusy": "errors",
    "ConfigError": "errors",
    "ConnectionFailed": "errors",
    "ContextTooLong": "errors",
    "Halt": "errors",
    "MissingExtra": "errors",
    "MissingKey": "errors",
    "NbchatError": "errors",
    "NoModel": "errors",
    "NotAStore": "errors",
    "ProviderError": "errors",
    "QuotaExceeded": "errors",
    "RateLimited": "errors",
    "ServerError": "errors",
    "SqlRefused": "errors",
    "StoreBusy": "errors",
    "StoreError": "errors",
    "StoreTooNew": "errors",
    "ToolError": "errors",
    "ToolRoundsExceeded": "errors",
    "UnknownModel": "errors",
    "UnknownProvider": "errors",
}

__all__ = [  # noqa: RUF022  sorted as sorted() does
    "Agent",
    "AgentClassMismatch",
    "AgentSession",
    "AuthFailed",
    "BadRequest",
    "BrokenStream",
    "BudgetExceeded",
    "CONTINUE",
    "Chat",
    "ChatBusy",
    "ConfigError",
    "ConnectionFailed",
    "ContextTooLong",
    "Halt",
    "Message",
    "MissingExtra",
    "MissingKey",
    "NbchatError",
    "NoModel",
    "NotAStore",
    "Panel",
    "ProviderError",
    "QuotaExceeded",
    "RETRY",
    "RateLimited",
    "STOP",
    "ServerError",
    "SqlRefused",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreTooNew",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolRoundsExceeded",
    "UnknownModel",
    "UnknownProvider",
    "__version__",
    "budget",
    "compact",
    "create_agent_session",
    "create_chat",
    "define_agent",
    "delete_chat",
    "doctor",
    "list_chats",
    "load_agent_session",
    "load_chat",
    "load_ipython_extension",
    "log_usage",
    "open_panel",
    "open_store",
    "purge",
    "redact",
    "search",
    "sql",
    "stats",
    "tool",
    "unload_ipython_extension",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nbchat' has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(import_module(f"nbchat.{home}"), name)
    if home in ("chat", "messages"):
        _attach_display(with_chat=home == "chat")
    globals()[name] = value
    return value


def _attach_display(with_chat: bool) -> None:
    """Let messages and chats show themselves; their own modules know nothing of HTML."""
    from nbchat import display, messages

    messages.Message._repr_mimebundle_ = display.message_bundle  # type: ignore[attr-defined]
    if with_chat:
        from nbchat import chat

        chat.Chat._repr_mimebundle_ = display.chat_bundle  # type: ignore[attr-defined]
        chat.Chat.panel = _panel  # type: ignore[attr-defined]


def _panel(chat: Any, *, commands: Any = None) -> "Panel":
    """The chat as a widget: streaming, tools, approvals, branches, attachments and search.

    `commands` are slash commands of your own: a dict from a word to a function from the text
    behind it to the text that is asked in its place.
    """
    from nbchat.widget.panel import Panel  # loads the widget libraries

    return Panel(chat, commands=commands)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nbchat`: adds the magics; prints nothing and starts nothing."""
    from nbchat.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nbchat`: takes the magics away again."""
    from nbchat.magics import unload

    unload(shell)


if TYPE_CHECKING:
    from nbchat.agents import (
        Agent,
        AgentSession,
        create_agent_session,
        define_agent,
        load_agent_session,
    )
    from nbchat.chat import Chat, create_chat, load_chat
    from nbchat.errors import (
        AgentClassMismatch,
        AuthFailed,
        BadRequest,
        BrokenStream,
        BudgetExceeded,
        ChatBusy,
        ConfigError,
        ConnectionFailed,
        ContextTooLong,
        Halt,
        MissingExtra,
        MissingKey,
        NbchatError,
        NoModel,
        NotAStore,
        ProviderError,
        QuotaExceeded,
        RateLimited,
        ServerError,
        SqlRefused,
        StoreBusy,
        StoreError,
        StoreTooNew,
        ToolError,
        ToolRoundsExceeded,
        UnknownModel,
        UnknownProvider,
    )
    from nbchat.hooks import CONTINUE, RETRY, STOP
    from nbchat.messages import Message
    from nbchat.middleware import budget, log_usage, redact
    from nbchat.store import Store, open_store
    from nbchat.stores import compact, delete_chat, doctor, list_chats, purge, search, sql, stats
    from nbchat.tools import Tool, ToolContext, tool
    from nbchat.widget.panel import Panel, open_panel
