"""What a model wrote whose every word was forced into JSON: a tool call, or an answer.

The text of an answer is shown as it comes, the JSON around it never; JSON of any other shape
and words are text. Invariants: how the content is cut changes nothing, and what was shown is
the beginning of what is shown later.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce
from typing import Any, Literal

from nbchat.exchange import Delta, Reply
from nbchat.messages import Part, Text, ToolCall
from nbchat.wires.chat_answer import ChatAnswer
from nbchat.wires.fragments import TextPieces, finite, refuse_constant, storable

SPACE = r"[ \t\r\n]*"
NAME = ('"', r'([^"\\]+)', '"')
CALL = ("{", *'"tool"', ":", *NAME, ",", *'"arguments"', ":")  # and an object follows
ANSWER = ("{", *'"tool"', ":", *"null", ",", *'"answer"', ":", '"')
UNIT = re.compile(
    r'"|[^"\\]+|\\[^u]|\\u[0-9a-fA-F]{4}|\\u(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])', re.DOTALL
)
ARGUMENTS = json.JSONDecoder(parse_float=finite, parse_constant=refuse_constant)


def spaced(atoms: Iterable[str]) -> list[str]:
    """The atoms of a pattern with the white space that JSON allows around punctuation."""
    around = {mark: (SPACE, re.escape(mark), SPACE) for mark in "{:,"}
    return [piece for atom in atoms for piece in around.get(atom, (atom,))]


def beginnings(atoms: Iterable[str]) -> str:
    """A pattern for everything that may still become a match of the atoms."""
    return reduce(lambda rest, atom: f"(?:{atom}{rest})?", reversed(spaced(atoms)), "")


CALL_HEAD = re.compile("".join(spaced(CALL)) + r"(?=\{)")
ANSWER_HEAD = re.compile("".join(spaced(ANSWER)))
HEADS_BEGINNING = re.compile(f"{beginnings(CALL)}|{beginnings(ANSWER)}")


class Content:
    """The content as far as it has come; `kind` is None until its first letters tell."""

    def __init__(self) -> None:
        self.kind: Literal["text", "answer", "call"] | None = None
        self.shown: list[str] = []
        self._name = ""
        self._held = ""
        self._closed = False
        self._halves = TextPieces()

    def push(self, piece: str) -> str:
        """What can be shown now."""
        if not self._closed:
            self._held += piece
        if self.kind is None:
            self._decide()
        if self.kind == "answer":
            return self._show(self._unescape())
        return self._show(self._release()) if self.kind == "text" else ""

    def end(self) -> str:
        """What was held back and turns out to be text, because nothing more comes."""
        if self.kind is None and self._held:
            self.kind = "text"
        return self._show(self._release()) if self.kind == "text" else ""

    def part(self) -> Part | None:
        """The answer or the call, if there is enough of it to be one."""
        if self.kind == "call":
            digest = hashlib.sha256(f"{self._name} {self._held}".encode()).hexdigest()
            return ToolCall(self._name, self._arguments(), f"call_{digest[:24]}")
        return Text("".join(self.shown)) if self.shown else None

    def _decide(self) -> None:
        if head := ANSWER_HEAD.match(self._held):
            self.kind, self._held = "answer", self._held[head.end() :]
        elif head := CALL_HEAD.match(self._held):
            self.kind, self._held, self._name = "call", self._held[head.end() :], head[1]
        elif not HEADS_BEGINNING.fullmatch(self._held):
            self.kind = "text"

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held

    def _show(self, text: str) -> str:
        if text:
            self.shown.append(text)
        return text

    def _unescape(self) -> str:
        said, at = [], 0
        while not self._closed and (unit := UNIT.match(self._held, at)):
            at = unit.end()
            self._closed = unit[0] == '"'
            said.append(self._halves.flush() if self._closed else self._halves.push(plain(unit[0])))
        self._held = "" if self._closed else self._held[at:]
        return "".join(said)

    def _arguments(self) -> dict[str, Any] | str:
        try:
            return dict(storable(ARGUMENTS.raw_decode(self._held)[0]))
        except (ValueError, RecursionError):
            return self._held


def plain(unit: str) -> str:
    """What a piece of a JSON string says; an escape that does not exist stands for itself."""
    if not unit.startswith("\\"):
        return unit
    try:
        return str(json.loads(f'"{unit}"'))
    except ValueError:
        return unit


class GrammarAnswer:
    """An `Answer` that reads the content of a Chat Completions server's."""

    def __init__(self) -> None:
        self._chat = ChatAnswer()
        self._content = Content()

    @property
    def done(self) -> bool:
        """Whether nothing more can follow."""
        return self._chat.done

    @done.setter
    def done(self, value: bool) -> None:
        """Says that the bytes ended."""
        self._chat.done = value

    @property
    def finished(self) -> bool:
        """Whether a finish reason or [DONE] was seen."""
        return self._chat.finished

    def take_event(self, event: dict[str, Any]) -> Iterator[Delta]:
        """Adds one chunk; raises the error it holds after what it says."""
        return self._read(self._chat.take_event(event))

    def take_body(self, body: dict[str, Any]) -> Iterator[Delta]:
        """Adds a plain answer; without a message it is an error or nonsense."""
        return self._read(self._chat.take_body(body))

    def flush(self) -> Iterator[Delta]:
        """Text that was held back; the beginnings of cut JSON are none."""
        yield from self._read(self._chat.flush())
        if self.finished and self._chat.reply().finish_reason != "length":
            yield from texts(self._content.end())

    def reply(self) -> Reply:
        """The reply as far as it has come; its blocks hold what the model wrote."""
        said = self._chat.reply()
        if self._content.kind == "text":
            return said
        read, reason = self._content.part(), said.finish_reason
        if isinstance(read, ToolCall) and reason in ("stop", "other"):
            reason = "tool_calls"
        return replace(said, parts=tuple(instead_of_text(said.parts, read)), finish_reason=reason)

    def _read(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        for delta in deltas:
            if delta.kind == "text":
                yield from texts(self._content.push(delta.text))
            else:
                yield delta


def instead_of_text(parts: Iterable[Part], read: Part | None) -> Iterator[Part]:
    """The parts with what the content says in the place of the content itself."""
    for part in parts:
        if not isinstance(part, Text):
            yield part
        elif read is not None:
            yield read
            read = None


def texts(text: str) -> Iterator[Delta]:
    """A delta, if there is text for one."""
    if text:
        yield Delta("text", text)
