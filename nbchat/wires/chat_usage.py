"""Token counts of Chat Completions in the contract's words, for all its dialects."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from nbchat.exchange import FinishReason, Usage
from nbchat.messages import JSON
from nbchat.wires.fragments import count, first_count

USD_PER_TICK = Decimal("1e-10")

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "refusal",
}


def usage_of(raw: Mapping[str, Any] | None) -> Usage:
    """What a usage object says; what it does not say stays unknown."""
    if not raw:
        return Usage()
    prompt, completion = (
        mapping(raw, "prompt_tokens_details"),
        mapping(raw, "completion_tokens_details"),
    )
    thinking = first_count(completion.get("reasoning_tokens"), raw.get("reasoning_tokens"))
    return Usage(
        input_tokens=count(raw.get("prompt_tokens")),
        output_tokens=output_tokens(raw, thinking),
        cached_input_tokens=first_count(
            prompt.get("cached_tokens"),
            raw.get("prompt_cache_hit_tokens"),
            raw.get("cached_tokens"),
            raw.get("cache_read_input_tokens"),
        ),
        cache_write_tokens=first_count(
            prompt.get("cache_write_tokens"), raw.get("cache_creation_input_tokens")
        ),
        thinking_tokens=thinking,
        cost_usd=cost_usd(raw),
        raw=dict(raw),
    )


def output_tokens(raw: Mapping[str, Any], thinking: int | None) -> int | None:
    """All that came out.

    Some servers count thinking apart: their own total shows it, or that there is more of it
    than could be a part.
    """
    prompt, completion = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    if not thinking or completion is None:
        return completion
    total = count(raw.get("total_tokens"))
    apart = prompt is not None and total == prompt + completion + thinking
    return completion + thinking if apart or thinking > completion else completion


def cost_usd(raw: Mapping[str, Any]) -> Decimal | None:
    """What the provider says it charged."""
    ticks, cost = raw.get("cost_in_usd_ticks"), raw.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if count(ticks) is not None:
        return Decimal(str(ticks)) * USD_PER_TICK
    return None if count(cost) is None else Decimal(str(cost))


def finish_reason_of(reason: str, *, calls: bool, refused: bool) -> FinishReason:
    """The neutral reason; what the answer holds says more than what it is called."""
    known = FINISH_REASONS.get(reason, "other")
    if calls and (known == "stop" or not reason):
        return "tool_calls"
    return "refusal" if known == "stop" and refused else known


def mapping(raw: Mapping[str, JSON], key: str) -> Mapping[str, JSON]:
    """The object under that key, or an empty one."""
    value = raw.get(key)
    return value if isinstance(value, dict) else {}
