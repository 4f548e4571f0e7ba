"""What a turn does next: pure functions of what is stored and what went wrong."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from nbchat.errors import ProviderError
from nbchat.messages import Message, Part, ToolCall, ToolResult

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
class Answer:
    """End with what a tool gave as the answer, before the turn was broken off."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The model owes nothing."""


Move = Generate | RunTools | Exceed | Answer | Done


def next_move(parts: Sequence[Part], max_tool_rounds: int) -> Move:
    """The next move of a turn whose assistant has said these parts."""
    if not parts:
        return Generate(1)
    last = parts[-1].round
    calls = [part for part in parts if isinstance(part, ToolCall) and part.round == last]
    if not calls:
        return Done()
    results = [part for part in parts if isinstance(part, ToolResult) and part.round == last]
    answered = {part.seq for part in results}
    if len(answered) == len(calls):
        halts = (Answer(result.content) for result in results if result.halts)
        return next(halts, Generate(last + 1))
    if last > max_tool_rounds:
        return Exceed()
    open_calls = enumerate(calls, start=1)
    return RunTools(tuple((seq, call) for seq, call in open_calls if seq not in answered))


def rounds_allowed(message: Message, begun: int, max_tool_rounds: int) -> int:
    """The number of the last round whose tools run; those of `begun` have, in part at least.

    A turn that ended for too many rounds and goes on may have as many again, also where it
    was broken off among those.
    """
    last = message.parts[-1].round if message.parts else 0
    if (message.error or {}).get("type") == "ToolRoundsExceeded":
        return last - 1 + max_tool_rounds
    results = (part.round for part in message.parts if isinstance(part, ToolResult))
    begun = max(begun, *results, 0)
    times = -(-begun // max_tool_rounds) if max_tool_rounds else 0
    return max_tool_rounds * max(times, 1)


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
