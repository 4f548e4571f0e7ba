"""What can go wrong, as one tree.

    NbchatError
    ├── ConfigError              the caller's mistake; never retried
    │   ├── MissingKey           no API key was found (a refused one is AuthFailed)
    │   ├── MissingExtra         an optional part of nbchat is not installed
    │   ├── NoModel              no model was named and none was found
    │   └── UnknownProvider
    ├── AgentClassMismatch       a session of another agent's class
    ├── BudgetExceeded           the budget of a chat, a day or a store is spent
    ├── ChatBusy                 another ask on this chat is running and `wait=False`
    ├── StoreError               the DuckDB file
    │   ├── StoreBusy            somebody else holds it for too long
    │   ├── NotAStore            not a DuckDB file, or tables that are not nbchat's
    │   └── StoreTooNew          written by a newer nbchat
    ├── PullFailed               weights that could not be fetched, or are not the pinned ones
    ├── SqlRefused               ad hoc SQL that is not one harmless read
    ├── ToolError                raised by tools; `fatal=True` ends the turn
    ├── ToolRoundsExceeded
    └── ProviderError            the provider's answer, or that there was none
        ├── BadRequest           400, 413, 422
        │   └── ContextTooLong
        ├── AuthFailed           401, 403
        ├── QuotaExceeded        402, or 429 that waiting will not cure
        ├── UnknownModel         404
        ├── RateLimited          429
        ├── ServerError          408, 409, 5xx, 529
        ├── ConnectionFailed     no answer: refused, reset, timed out
        └── BrokenStream         the answer ended early or made no sense

`Halt` stands beside the tree: a tool raises it to end the turn with an answer.
This module imports nothing of nbchat, so every other one may raise from it.
"""

from typing import Any


class NbchatError(Exception):
    """Anything nbchat raises on purpose."""


class ConfigError(NbchatError, ValueError):
    """The call cannot work as written; the message says what to change."""


class MissingKey(ConfigError):
    """The provider needs an API key and none was found."""


class MissingExtra(ConfigError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class NoModel(ConfigError):
    """No model was named and none could be found."""


class UnknownProvider(ConfigError):
    """The part of the model before the slash names no provider."""


class ChatBusy(NbchatError):
    """Another ask on the same chat is still running."""


class AgentClassMismatch(NbchatError):
    """A session was made by another agent's class than the one it is loaded with."""


class BudgetExceeded(NbchatError):
    """The budget is spent; the request that would have gone over it was not sent."""


class StoreError(NbchatError):
    """The store could not do what was asked.

    `unsaved` is the message that could not be written, when an answer was at stake.
    """

    unsaved: Any = None


class StoreBusy(StoreError):
    """The store was held by somebody else for longer than the busy timeout."""


class NotAStore(StoreError):
    """The file is not a DuckDB database, or holds tables that are not nbchat's."""


class StoreTooNew(StoreError):
    """The store was written by a newer nbchat; it was not touched."""


class PullFailed(NbchatError):
    """A model's weights could not be fetched, or are not the pinned ones; none were kept."""


class SqlRefused(NbchatError, ValueError):
    """The SQL is more than one read-only question about the store."""


class ToolError(NbchatError):
    """Raised by a tool: its text goes to the model, or ends the turn if `fatal`."""

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal


class ToolRoundsExceeded(NbchatError):
    """The model asked for more rounds of tools than `max_tool_rounds`."""


class ProviderError(NbchatError):
    """A request failed at the provider; `partial` is the text that had arrived."""

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.provider = provider
        self.model = model
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.partial = ""


class BadRequest(ProviderError):
    """The provider refused the request as malformed or unsupported."""


class ContextTooLong(BadRequest):
    """The conversation no longer fits the model's context."""


class AuthFailed(ProviderError):
    """The provider refused the API key, or what it asked for."""


class QuotaExceeded(ProviderError):
    """The account is out of credit or over its limit; waiting will not help."""


class UnknownModel(ProviderError):
    """The provider has no such model."""


class RateLimited(ProviderError):
    """Too many requests; retried with the provider's own delay."""

    retryable = True


class ServerError(ProviderError):
    """The provider failed or is overloaded."""

    retryable = True


class ConnectionFailed(ProviderError):
    """No answer came: the connection was refused, reset or timed out."""

    retryable = True


class BrokenStream(ProviderError):
    """The answer ended before it was whole, or could not be read."""


class Halt(Exception):
    """Raised by a tool to end the turn; its value becomes the answer."""

    def __init__(self, value: Any = "") -> None:
        super().__init__(value)
        self.value = value
