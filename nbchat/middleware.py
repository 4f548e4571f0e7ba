"""Middleware that comes with nbchat: a budget, redaction, and a log of what was used.

Each is an object for `chat.use()`; what it does not have a hook for passes it unseen.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from nbchat.errors import BudgetExceeded, ConfigError
from nbchat.exchange import Reply, Request
from nbchat.hooks import TurnState
from nbchat.redaction import Redactor, Rule, redacted_message
from nbchat.store.spending import Spent, spent
from nbchat.store.values import utc_now

Per = Literal["chat", "day", "store"]
PERIODS = {"chat": "this chat", "day": "today (UTC)", "store": "this store"}


class Budget:
    """Refuses every further request once what the store says was spent reaches the budget."""

    def __init__(self, usd: Decimal, per: Per, unpriced: str) -> None:
        self.usd = usd
        self.per = per
        self.unpriced = unpriced

    def on_request(self, request: Request, state: TurnState) -> None:
        """Read the store; raises BudgetExceeded when the budget is spent."""
        now = self.spent(state)
        if now.usd >= self.usd:
            raise BudgetExceeded(
                f"The budget of ${self.usd:f} for {PERIODS[self.per]} is spent: "
                f"${now.usd.normalize():f} so far. Nothing was sent. Raise the budget and "
                "resume(), or wait."
            )
        if now.unpriced and self.unpriced == "refuse":
            raise BudgetExceeded(
                f"{now.unpriced} requests for {PERIODS[self.per]} have no known price, so the "
                "budget cannot be kept. Use a model with a price, or unpriced='allow'."
            )

    def spent(self, state: TurnState) -> Spent:
        """What counts against the budget, as the store has it now."""
        chat_id = state.chat_id if self.per == "chat" else None
        since = _midnight() if self.per == "day" else None
        found: Spent = state.store.read(lambda cursor: spent(cursor, chat_id=chat_id, since=since))
        return found

    def __repr__(self) -> str:
        return f"budget(usd={self.usd}, per={self.per!r})"


def _midnight() -> datetime:
    return utc_now().replace(hour=0, minute=0, second=0, microsecond=0)


def budget(
    usd: float | str | Decimal,
    *,
    per: Per = "chat",
    unpriced: Literal["allow", "refuse"] = "allow",
) -> Budget:
    """Middleware that ends a turn with BudgetExceeded rather than spend more than `usd`.

    Before each request the store is asked what was spent: in this chat, on this day (UTC), or in
    the whole store, by whatever process. The last request before the limit may go over it, and
    so may those under way at once. Requests whose price nobody knows count as nothing, unless
    `unpriced="refuse"`; chats that do not record requests are not counted.
    """
    if per not in PERIODS:
        raise ConfigError(f"per={per!r}: give 'chat', 'day' or 'store'.")
    if unpriced not in ("allow", "refuse"):
        raise ConfigError(f"unpriced={unpriced!r}: give 'allow' or 'refuse'.")
    try:
        limit = Decimal(str(usd))
    except InvalidOperation:
        limit = Decimal("NaN")
    if isinstance(usd, bool) or not limit.is_finite() or limit < 0:
        raise ConfigError(f"usd={usd!r} is not an amount of US dollars.")
    return Budget(limit, per, unpriced)


class Redaction:
    """Masks what looks like a secret or personal data, in what is sent and what is stored."""

    def __init__(self, redactor: Redactor, *, send: bool, store: bool) -> None:
        self._redactor = redactor
        self._send = send
        self._store = store

    def on_request(self, request: Request) -> Request:
        """The request with everything that is said in it masked."""
        if not self._send:
            return request
        messages = tuple(redacted_message(message, self._redactor) for message in request.messages)
        told = request.instructions and self._redactor(request.instructions)
        return replace(request, messages=messages, instructions=told)

    def on_store(self, text: str) -> str:
        """The text as it may be stored."""
        return self._redactor(text) if self._store else text


def redact(
    *,
    secrets: bool = True,
    personal: bool = True,
    rules: Iterable[Rule | tuple[str, str]] = (),
    send: bool = True,
    store: bool = True,
) -> Redaction:
    """Middleware that masks keys, tokens, addresses, cards and the like by their shape.

    In what is sent to the provider, and in what is stored: questions, answers (streamed ones
    too), thinking, arguments and results of tools, errors. What you see live is not masked, nor
    are pictures, nor a chat's name and metadata. `rules` are more of them, as (name, regular
    expression).
    """
    return Redaction(Redactor(secrets=secrets, personal=personal, rules=tuple(rules)),
                     send=send, store=store)  # fmt: skip


class UsageLog:
    """Logs one line per reply."""

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger = logger
        self._level = level

    def on_response(self, reply: Reply, state: TurnState) -> None:
        """Say what the reply took."""
        row = state.attempt
        cost = "unknown" if row.cost_usd is None else f"${row.cost_usd.normalize():f}"
        self._logger.log(
            self._level,
            "chat %s, %s: %s tokens in, %s out, cost %s, %.0f ms",
            state.chat_id, row.model, _known(row.usage.input_tokens),
            _known(row.usage.output_tokens), cost, row.duration_ms,
        )  # fmt: skip


def _known(count: Any) -> Any:
    return "?" if count is None else count


def log_usage(
    logger: logging.Logger | str = "nbchat.usage", *, level: int = logging.INFO
) -> UsageLog:
    """Middleware that logs model, tokens, cost and time of every reply; never what was said."""
    return UsageLog(logging.getLogger(logger) if isinstance(logger, str) else logger, level)
