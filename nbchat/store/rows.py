"""A request and a tool call as they will be rows: values only, whole, before anything is stored."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from nbchat.exchange import Usage
from nbchat.messages import JSON, ToolCall
from nbchat.store.identity import new_id


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One physical attempt, ended one way or the other."""

    id: str = field(default_factory=new_id, kw_only=True)
    round: int
    attempt: int
    provider: str
    model: str
    started_at: datetime
    duration_ms: float
    answered_model: str | None = None
    status_code: int | None = None
    ttft_ms: float | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    cost_source: str | None = None
    price: JSON = None
    finish_reason: str | None = None
    provider_request_id: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    dropped: JSON = None


@dataclass(frozen=True, slots=True)
class ToolCallRow:
    """One execution of a tool as it begins, or as it was refused.

    `approval` is None where nobody needs to approve it; `repeats` counts the same calls of the
    turn before it.
    """

    id: str
    call: ToolCall
    seq: int
    status: str = "pending"
    error: str | None = None
    thought: str | None = None
    attempt: int = 1
    approval: str | None = None
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """How a tool call ended: what the model was told, and how long that and the whole result are.

    `text` is a result if the status is ok, else an error.
    """

    status: str
    text: str | None = None
    duration_ms: float | None = None
    full_chars: int | None = None
