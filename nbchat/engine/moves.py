"""What a turn does next: pure functions of what is stored and what went wrong."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from nbchat.errors import ProviderError
from nbchat.messages import Part, ToolCall, ToolResult

ATTEMPTS = 3
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 8.0
# a provider that wants more patience than this gets an error instead of a silent notebook
LONGEST_RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask the model for the next round."""

    round: int


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run these calls of the last round, each with its place in it."""

    calls: tuple[tuple[int, ToolCall], ...]


@dataclass(frozen=True, slots=True)
class Exceed:
    """The model asks for more rounds of tools than it may have."""


@dataclass(frozen=True, slots=True)
class Done:
    """The model owes nothing."""


Move = Generate | RunTools | Exceed | Done


def next_move(parts: Sequence[Part], max_tool_rounds: int) -> Move:
    """The next move of a turn whose assistant has said these parts."""
    if not parts:
        return Generate(1)
    last = parts[-1].round
    calls = [part for part in parts if isinstance(part, ToolCall) and part.round == last]
    if not calls:
        return Done()
    answered = {part.seq for part in parts if isinstance(part, ToolResult) and part.round == last}
    if len(answered) == len(calls):
        return Generate(last + 1)
    if last > max_tool_rounds:
        return Exceed()
    open_calls = enumerate(calls, start=1)
    return RunTools(tuple((seq, call) for seq, call in open_calls if seq not in answered))


def retry_delay(error: ProviderError, attempt: int, *, shown: bool) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    Nothing is sent again once a byte of the answer was there. The provider's own
    Retry-After wins over backoff with jitter.
    """
    if shown or not error.retryable or attempt >= ATTEMPTS:
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= LONGEST_RETRY_AFTER_S else None
    backoff: float = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
    return backoff * random.uniform(0.75, 1.25)
