"""Every recorded answer, cut into random pieces, reads as the provider's own SDK reads it.

What differs on purpose stands in DIFFERENCES, each with its reason; an entry that no longer
differs fails, so the table stays true.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from official_sdks import ERRORS, Seen, sdk_reads
from wire_recordings import FIXTURES, Recording, recordings

from nbchat.errors import ProviderError
from nbchat.exchange import Reply
from nbchat.messages import Thinking
from nbchat.wires import Wire
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.openai_chat import OpenAIChat

WIRES: dict[str, Wire] = {"chat": OpenAIChat(), "messages": AnthropicMessages()}


@dataclass(frozen=True)
class Difference:
    """Where, in which field, and why the wire reads otherwise than the SDK.

    `expected` turns what the SDK reads into what the wire has to, where that can be said.
    """

    where: str
    field: str
    why: str
    expected: Callable[[Any], object] | None = None


def with_thinking(tokens: tuple[int, int, int | None, int | None, int]) -> object:
    """The SDK's tokens with thinking added to the output."""
    given, said, cached, written, thinking = tokens
    return given, said + thinking, cached, written, thinking


def with_thinking_and_writes(tokens: tuple[int, int, int | None, None, int]) -> object:
    """As above, where the server says beside the details that nothing was written."""
    given, said, cached, _, thinking = tokens
    return given, said + thinking, cached, 0, thinking


CUT = "The recording was cut off by the client; the SDK ends in silence, the wire says so."
APART = (
    "The server counts thinking apart from completion_tokens; the contract's output_tokens is "
    "all that came out."
)
WRITES = " It also counts cache writes, in a field that the SDK's model does not have."
FLAT_CACHE = "cached_tokens stands beside prompt_tokens, where the SDK's model has no field."
LISTED = "Content is a list of thinking and text items, which the SDK's model does not know."
UNREAD = "A stream of such lists makes the SDK raise, before it reads the usage."
DIFFERENCES = (
    Difference("local/*/10_abort_midstream.resp#0", "error", CUT),
    Difference("local/*/t9_abort_in_toolcall.resp#0", "error", CUT),
    Difference("local/*/27_anthropic_abort.resp#0", "error", CUT),
    Difference(
        "local/*/09b_ctx_overflow_stream.resp#0",
        "error",
        "The server failed after status 200 and sent nothing at all; that is no answer.",
    ),
    Difference("xai", "tokens", APART, with_thinking),
    Difference("vercel-gateway", "tokens", APART + WRITES, with_thinking_and_writes),
    Difference("together", "tokens", FLAT_CACHE),
    Difference("mistral", "text", LISTED),
    Difference("mistral", "error", UNREAD),
    Difference("mistral", "tokens", UNREAD),
    Difference(
        "*/reasoning-model-legacy-parameter-error.json#0",
        "error",
        "An error body kept without its status: the SDK reads an empty completion, the wire "
        "the error.",
    ),
    Difference(
        "*/anthropic-programmatic-tool-calling.1.chunks.txt#0",
        "tokens",
        "Several answers in one file; the SDK adds them up, for the wire the first message_stop "
        "ends the answer.",
    ),
    Difference(
        "*/spliced-message-start.chunks.txt#0",
        "calls",
        "A proxy began the message anew; the SDK adds the second one's pieces to the first one's "
        "blocks, the wire keeps the message that was finished.",
    ),
    Difference(
        "*/spliced-message-start.chunks.txt#0",
        "thinking",
        "As above: thinking of the message that never ended is not said twice.",
    ),
    Difference(
        "*/incomplete_partial_json_response.txt#0",
        "calls",
        "Arguments cut by max_tokens: the SDK repairs them, the wire leaves them text, so that "
        "the call is invalid and never runs.",
    ),
)


def decoded(recording: Recording) -> tuple[Reply, ProviderError | None]:
    """What the wire makes of the recording's pieces."""
    wire = WIRES[recording.endpoint]
    if recording.status != 200:
        headers = dict(recording.headers)
        return Reply(), wire.parse_error(recording.status, headers, recording.body)
    decoder = wire.decoder()
    try:
        shown = [delta for piece in recording.cuts() for delta in decoder.feed(piece)]
        shown += decoder.finish()
    except ProviderError as error:
        return decoder.reply(), error
    reply = decoder.reply()
    assert "".join(delta.text for delta in shown if delta.kind == "text") == reply.text
    return reply, None


def seen_by_wire(recording: Recording) -> tuple[Seen, ProviderError | None]:
    reply, error = decoded(recording)
    thoughts = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    usage = reply.usage
    seen = Seen(
        reply.text,
        thoughts if recording.endpoint == "messages" else None,
        tuple((call.name, call.arguments) for call in reply.tool_calls),
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            usage.thinking_tokens,
        ),
        type(error).__name__ if error else None,
    )
    return seen, error


def same_error(theirs: str | None, ours: ProviderError | None) -> bool:
    if theirs is None or ours is None:
        return theirs is None and ours is None
    return isinstance(ours, ERRORS.get(theirs, (ProviderError,)))


@cache
def fields_that_differ(recording: Recording) -> dict[str, tuple[object, object]]:
    """Each field in which wire and SDK disagree, with what the SDK and the wire say."""
    theirs = sdk_reads(recording)
    ours, error = seen_by_wire(recording)
    pairs = {
        name: (getattr(theirs, name), getattr(ours, name))
        for name in ("text", "thinking", "calls", "tokens")
    }
    if recording.status != 200:
        pairs = {}  # an error answer says nothing else
    found: dict[str, tuple[object, object]] = {
        name: pair for name, pair in pairs.items() if pair[0] != pair[1]
    }
    if not same_error(theirs.error, error):
        found["error"] = (theirs.error, ours.error)
    return found


def matches(difference: Difference, recording: Recording, field: str) -> bool:
    place = fnmatchcase(recording.id, difference.where) or difference.where == recording.provider
    return place and difference.field == field


def listed(recording: Recording, field: str, theirs: object, ours: object) -> bool:
    return any(
        matches(difference, recording, field)
        and (difference.expected is None or difference.expected(theirs) == ours)
        for difference in DIFFERENCES
    )


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.id)
def test_the_wire_reads_what_the_official_sdk_reads(recording: Recording) -> None:
    found = fields_that_differ(recording)
    assert {
        field: pair for field, pair in found.items() if not listed(recording, field, *pair)
    } == {}


@pytest.mark.skipif(
    not (FIXTURES / "MANIFEST.tsv").exists(),
    reason=f"no recordings at {FIXTURES}; NBCHAT_FIXTURES names the folder",
)
@pytest.mark.parametrize(
    "difference", DIFFERENCES, ids=lambda found: f"{found.where}:{found.field}"
)
def test_every_listed_difference_still_differs(difference: Difference) -> None:
    assert any(
        matches(difference, recording, field)
        for recording in recordings()
        for field in fields_that_differ(recording)
    )
