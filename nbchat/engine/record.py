"""Attempts and states of a turn as rows: pure functions from what happened to what is stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from nbchat.engine.attempt import Attempt
from nbchat.engine.plan import Target
from nbchat.exchange import Reply, Usage
from nbchat.messages import Part, Text, Thinking, ToolCall
from nbchat.prices import cost_of
from nbchat.store.rows import RequestRow
from nbchat.store.values import clean_part

COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "thinking_tokens",
)


def request_row(target: Target, attempt: Attempt, error: BaseException | None) -> RequestRow:
    """The row of an ended attempt; what a broken-off answer would have cost is unknown."""
    reply = attempt.reply()
    usage = counted(reply)
    prices = target.provider.prices
    # a dated or aliased answer may be missing from the price list when the name asked for is not
    cost = cost_of(prices, reply.model or target.model, usage, attempt.started_at)
    cost = cost or cost_of(prices, target.model, usage, attempt.started_at)
    return RequestRow(
        round=attempt.round,
        attempt=attempt.number,
        provider=target.provider.name,
        model=target.full_model,
        started_at=attempt.started_at,
        duration_ms=attempt.elapsed_ms(),
        answered_model=reply.model,
        status_code=attempt.status_code,
        ttft_ms=attempt.ttft_ms,
        usage=usage,
        cost_usd=cost.usd if cost else None,
        cost_source=cost.source if cost else None,
        price=cost.price if cost else None,
        finish_reason=reply.finish_reason,
        provider_request_id=attempt.request_id,
        error_type=error_type(error),
        error_message=error_text(error),
        dropped=attempt.dropped or None,
    )


def counted(reply: Reply) -> Usage:
    """The reply's usage, without the counts that only its end would have told."""
    if reply.finish_reason is not None:
        return reply.usage
    return replace(reply.usage, output_tokens=None, thinking_tokens=None, cost_usd=None)


def error_type(error: BaseException | None) -> str | None:
    """The error's class by name; a cancelled attempt was stopped."""
    if error is None:
        return None
    name = type(error).__name__
    return "Stopped" if name == "CancelledError" else name


def error_text(error: BaseException | None) -> str | None:
    """The error in words."""
    if error is None:
        return None
    return str(error) or ("stopped" if error_type(error) == "Stopped" else type(error).__name__)


def error_json(error: BaseException, **more: Any) -> dict[str, Any]:
    """The error as `messages.error` holds it."""
    return {"type": error_type(error), "message": error_text(error), **more}


def sum_rows(rows: Sequence[RequestRow]) -> dict[str, Any]:
    """Tokens and cost of a turn's requests added up; a count is unknown only where all are."""
    sums: dict[str, Any] = {name: _sum(getattr(row.usage, name) for row in rows) for name in COUNTS}
    priced = bool(rows) and all(_is_priced(row) for row in rows)
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    return {**sums, "cost_usd": sum(costs, Decimal()) if priced and costs else None}


def _is_priced(row: RequestRow) -> bool:
    """As the view requests_priced has it."""
    answered = row.status_code is not None and 200 <= row.status_code < 300
    return row.cost_usd is not None or not (answered or row.error_type == "Stopped")


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def parts_of_round(reply: Reply, number: int, *, whole: bool = True) -> tuple[Part, ...]:
    """The reply's parts as those of this round; calls of a broken-off reply are left out."""
    return tuple(
        clean_part(replace(part, round=number))
        for part in reply.parts
        if (whole or not isinstance(part, ToolCall)) and _says_something(part)
    )


def _says_something(part: Part) -> bool:
    return not isinstance(part, Text) or bool(part.text)


def raw_of_round(reply: Reply, number: int, target: Target) -> Mapping[str, Any] | None:
    """The provider's own blocks with where they came from, for exact replay."""
    if reply.blocks is None or target.provider.wire is None:
        return None
    return {
        "round": number,
        "wire": target.provider.wire.name,
        "provider": target.provider.name,
        "model": reply.model,
        "blocks": reply.blocks,
    }


def thinking_of(parts: Iterable[Part]) -> dict[str, Any]:
    """The thinking columns of a message: all text, and the last signature."""
    blocks = [part for part in parts if isinstance(part, Thinking)]
    signatures = [block.signature for block in blocks if block.signature]
    return {
        "thinking_text": "".join(block.text for block in blocks) if blocks else None,
        "thinking_signature": signatures[-1] if signatures else None,
    }
