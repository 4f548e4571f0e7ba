"""What a Chat Completions server has said so far, streamed or whole, in any dialect.

A plain answer's message is read as one big delta, so both give equal replies. Only the
first choice counts. Invariant: thinking that a server sends under two names is read once.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nbchat.errors import BrokenStream
from nbchat.exchange import Delta, Reply
from nbchat.messages import JSON, Part, Text, Thinking
from nbchat.wires.chat_calls import CallPieces
from nbchat.wires.chat_usage import FINISH_REASONS, finish_reason_of, usage_of
from nbchat.wires.failures import stream_error
from nbchat.wires.fragments import TextPieces, storable, text_or_empty, without_nulls

Kind = Literal["text", "thinking"]
REASONING_FIELDS = ("reasoning_content", "reasoning")


class ChatAnswer:
    """An `Answer` in the words of Chat Completions."""

    def __init__(self) -> None:
        self.done = False
        self._model: str | None = None
        self._reason: str | None = None
        self._usage: Mapping[str, Any] | None = None
        self._said: list[dict[str, Any]] = []  # text, thinking and opaque pieces, in order
        self._pieces: dict[Kind, TextPieces] = {"text": TextPieces(), "thinking": TextPieces()}
        self._reasoning: dict[str, list[str]] = {}
        self._details: list[dict[str, Any]] = []
        self._listed = False
        self._refused = False
        self._extra: dict[str, Any] = {}
        self._calls = CallPieces()

    @property
    def finished(self) -> bool:
        """Whether a finish reason or [DONE] was seen."""
        return self.done or self._reason is not None

    def take_event(self, event: dict[str, Any]) -> Iterator[Delta]:
        """Adds one chunk; raises the error it holds after what it says."""
        yield from self._take(event, whole=False)

    def _take(self, event: dict[str, Any], *, whole: bool) -> Iterator[Delta]:
        self._take_rest(event)
        choice = first_choice(event)
        if choice is not None:
            # some servers send both: a stream's message repeats all that was said before
            whole = whole or "delta" not in choice
            said = choice.get("message" if whole else "delta")
            yield from self._take_delta(said if isinstance(said, dict) else {}, whole=whole)
            self._reason = self._reason or text_or_empty(choice.get("finish_reason")) or None
        error = error_in(event, choice)
        if error is not None:
            raise stream_error(error)

    def take_body(self, body: dict[str, Any]) -> Iterator[Delta]:
        """Adds a plain answer; without a message it is an error or nonsense."""
        yield from self._take(body, whole=True)
        if first_choice(body) is None:
            raise BrokenStream("The provider's answer holds no choices.")
        self.done = True

    def flush(self) -> Iterator[Delta]:
        """Halves of characters that were waiting."""
        for kind, pieces in self._pieces.items():
            yield from self._show(kind, pieces.flush())

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        calls = self._calls.ordered()
        cut = FINISH_REASONS.get(self._reason or "") == "length"
        parts = [*self._spoken_parts()]
        for call in calls:
            last_of_cut = cut and call is calls[-1]
            parts.append(call.part(whole=self.finished and not last_of_cut))
        reason = None
        if self._reason is not None or self.done:
            reason = finish_reason_of(self._reason or "", calls=bool(calls), refused=self._refused)
        return Reply(tuple(parts), self._blocks(), usage_of(self._usage), reason, self._model)

    def _take_rest(self, event: Mapping[str, Any]) -> None:
        groq = event.get("x_groq")
        usage = event.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
        if isinstance(usage, dict):
            self._usage = usage
        self._model = self._model or text_or_empty(event.get("model")) or None

    def _take_delta(self, delta: Mapping[str, Any], *, whole: bool) -> Iterator[Delta]:
        yield from self._take_reasoning(delta)
        yield from self._take_content(delta.get("content"))
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refused = True
            yield from self._say("text", refusal)
        self._take_calls(delta, whole=whole)
        if isinstance(delta.get("extra_content"), dict):
            self._extra |= delta["extra_content"]

    def _take_calls(self, delta: Mapping[str, Any], *, whole: bool) -> None:
        calls, legacy = delta.get("tool_calls"), delta.get("function_call")
        for position, piece in enumerate(calls if isinstance(calls, list) else []):
            if isinstance(piece, dict):
                index = position if whole else piece.get("index")
                self._calls.add(piece, index if isinstance(index, int) else None)
        if not calls and isinstance(legacy, dict) and any(legacy.values()):
            self._calls.add({"function": legacy}, 0)

    def _take_reasoning(self, delta: Mapping[str, Any]) -> Iterator[Delta]:
        told = [delta[name] for name in REASONING_FIELDS if isinstance(delta.get(name), str)]
        for name in REASONING_FIELDS:
            if isinstance(delta.get(name), str):
                self._reasoning.setdefault(name, []).append(delta[name])
        listed = delta.get("reasoning_details")
        details = (
            [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        )
        self._details += details
        told.append("".join(map(detail_text, details)))
        yield from self._say("thinking", next(filter(None, told), ""))

    def _take_content(self, content: JSON) -> Iterator[Delta]:
        if isinstance(content, str):
            yield from self._say("text", content)
        for item in content if isinstance(content, list) else []:
            kind = item.get("type") if isinstance(item, dict) else None
            if kind == "text":
                yield from self._say("text", text_or_empty(item.get("text")))
            elif kind == "thinking":
                self._listed = True
                yield from self._say("thinking", thinking_text(item.get("thinking")))
            elif kind is not None:
                self._listed = True
                self._said.append({"kind": "opaque", "item": item})

    def _say(self, kind: Kind, text: str) -> Iterator[Delta]:
        if text:
            yield from self._show(kind, self._pieces[kind].push(text))

    def _show(self, kind: Kind, text: str) -> Iterator[Delta]:
        if not text:
            return
        if not self._said or self._said[-1]["kind"] != kind:
            self._said.append({"kind": kind, "texts": []})
        self._said[-1]["texts"].append(text)
        yield Delta(kind, text)

    def _spoken_parts(self) -> Iterator[Part]:
        signatures = [text_or_empty(item.get("signature")) for item in self._details]
        signature = next(filter(None, reversed(signatures)), None)
        for piece in self._said:
            if piece["kind"] == "text":
                yield Text("".join(piece["texts"]))
            elif piece["kind"] == "thinking":
                yield Thinking("".join(piece["texts"]), signature)

    def _blocks(self) -> dict[str, Any]:
        """The message as a plain answer holds it."""
        message: dict[str, Any] = {"role": "assistant"}
        message["content"] = (
            self._listed_content()
            if self._listed
            else "".join(
                text for piece in self._said if piece["kind"] == "text" for text in piece["texts"]
            )
        )
        message |= {
            name: "".join(self._reasoning[name])
            for name in REASONING_FIELDS
            if name in self._reasoning
        }
        if self._details:
            message["reasoning_details"] = merged_details(self._details)
        if self._extra:
            message["extra_content"] = self._extra
        if calls := self._calls.ordered():
            message["tool_calls"] = [call.block() for call in calls]
        return dict(storable(message))

    def _listed_content(self) -> list[JSON]:
        items: list[JSON] = []
        for piece in self._said:
            if piece["kind"] == "opaque":
                items.append(piece["item"])
                continue
            text = {"type": "text", "text": "".join(piece["texts"])}
            thinking = {"type": "thinking", "thinking": [text]}
            items.append(text if piece["kind"] == "text" else thinking)
        return items


def first_choice(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first choice of a chunk or an answer, if it has one."""
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return None


def error_in(event: dict[str, Any], choice: Mapping[str, Any] | None) -> JSON:
    """The error a chunk holds: beside the choices, in one, or in place of them."""
    groq = event.get("x_groq")
    if event.get("error"):
        return event
    if isinstance(groq, dict) and groq.get("error"):
        return {"error": groq["error"]}
    if choice is not None:
        return {"error": choice["error"]} if choice.get("error") else None
    flat = event.get("object") == "error" or "detail" in event or event.get("type") == "error"
    return event if flat and "choices" not in event else None


def thinking_text(value: JSON) -> str:
    """The text of a list's thinking item, which is itself a list."""
    if isinstance(value, str):
        return value
    items = value if isinstance(value, list) else []
    return "".join(text_or_empty(item.get("text")) for item in items if isinstance(item, dict))


def detail_text(detail: Mapping[str, Any]) -> str:
    """The readable text of an entry of `reasoning_details`."""
    return text_or_empty(detail.get("text")) or text_or_empty(detail.get("summary"))


def merged_details(details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of `reasoning_details` with those joined that a stream cut in pieces."""
    runs: list[list[dict[str, Any]]] = []
    for detail in details:
        if runs and continues(runs[-1][0], detail):
            runs[-1].append(detail)
        else:
            runs.append([detail])
    return [joined(run) for run in runs]


def continues(first: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    """Whether an entry is more of the one before; encrypted ones always come whole."""
    same = all(first.get(key) == detail.get(key) for key in ("type", "index"))
    return same and detail.get("type") != "reasoning.encrypted"


def joined(run: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry out of its pieces: text is appended, anything else is said once."""
    whole: dict[str, Any] = {}
    for detail in run:
        whole |= without_nulls(detail)
    for key in ("text", "summary"):
        if key in whole:
            whole[key] = "".join(text_or_empty(detail.get(key)) for detail in run)
    return whole
