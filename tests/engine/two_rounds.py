"""A turn of two rounds of two parallel tools each, whose tools write down that they ran.

All that is said and called names the question, so that a row in the wrong turn shows.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Text, Thinking, ToolCall, ToolResult
from nbchat.testing import Received, said

QUESTION = "what is it?"
ROUNDS = 3
USAGE = {1: Usage(10, 5), 2: Usage(20, 6), 3: Usage(30, 7)}
TOKENS = (60, 18)
NAMES = ("1.1", "1.2", "2.1", "2.2")


def reply(question: str, number: int) -> list[Any]:
    """What the model says in this round of the turn that was asked this."""
    if number == ROUNDS:
        return [f"{question} done", USAGE[3]]
    calls = [ToolCall("mark", {"name": f"{question} {number}.{seq}"}, f"c{seq}") for seq in (1, 2)]
    return [Thinking(f"hm {number}", "sig"), f"{question} {number}, ", *calls, USAGE[number]]


def content(question: str) -> str:
    """The whole answer."""
    return f"{question} 1, {question} 2, {question} done"


def respond(request: Any) -> Iterator[Any]:
    """Plays the rounds, whoever asks; it goes by what was sent alone."""
    last = request.messages[-1]
    question = next(m.content for m in reversed(request.messages) if m.role == "user")
    yield from reply(question, 1 if last.role == "user" else last.parts[-1].round + 1)


def replay(received: Received) -> Any:
    """The same in the words of the wire that asks."""
    sent = received.json["messages"]
    place, question = next(
        (place, message["content"])
        for place, message in reversed(list(enumerate(sent)))
        if message["role"] == "user" and isinstance(message["content"], str)
    )
    rounds = [message for message in sent[place:] if message["role"] == "assistant"]
    *parts, usage = reply(question, len(rounds) + 1)
    return said(*parts, usage=usage)


def marking(path: str | Path) -> Callable[..., Any]:
    """A tool that adds a line to the file each time it runs."""

    def mark(name: str) -> str:
        """Write down that this ran."""
        line = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(line, f"{name}\n".encode())
        os.close(line)
        return f"{name} was written"

    return mark


def ran(path: str | Path) -> Counter[str]:
    """How often each call ran."""
    place = Path(path)
    return Counter(place.read_text().splitlines() if place.exists() else [])


def log_beside(path: str | Path) -> Path:
    """Where the tools of a store's chats write."""
    return Path(path).with_name("ran.txt")


def open_looping(path: str | Path, name: str, url: str = "") -> nbchat.Chat:
    """The chat of that name, there or anew."""
    own: dict[str, Any] = {"tools": [marking(log_beside(path))]}
    own |= {} if url else {"respond": respond}
    chat = nbchat.load_chat(name, store=path, **own)
    if chat is None:
        own |= {"base_url": url} if url else {}
        chat = nbchat.create_chat(
            f"{'openai' if url else 'function'}/x", store=path, name=name, **own
        )
    return chat


def answered(message: nbchat.Message) -> set[str]:
    """The names of the message's calls that have a result."""
    names = {}
    seqs: Counter[int] = Counter()
    for call in message.tool_calls:
        seqs[call.round] += 1
        names[call.round, seqs[call.round]] = call.arguments["name"]  # type: ignore[index]
    results = (part for part in message.parts if isinstance(part, ToolResult))
    return {names[part.round, part.seq] for part in results}


def assert_ended(message: nbchat.Message, question: str = QUESTION) -> None:
    """As the turn ends that nothing disturbs."""
    assert (message.status, message.content, message.error) == ("complete", content(question), None)
    assert (message.input_tokens, message.output_tokens) == TOKENS
    assert (message.thinking_text, message.finish_reason) == ("hm 1hm 2", "stop")
    expected: list[Any] = []
    for number in range(1, ROUNDS + 1):
        parts = [Text(part) if isinstance(part, str) else part
                 for part in reply(question, number)[:-1]]  # fmt: skip
        calls = [part for part in parts if isinstance(part, ToolCall)]
        parts += [
            ToolResult(f"{call.arguments['name']} was written", call.tool_call_id, "mark", seq=seq)  # type: ignore[index]
            for seq, call in enumerate(calls, start=1)
        ]
        expected += [(part.kind, number, _said(part)) for part in parts]
    assert [(part.kind, part.round, _said(part)) for part in message.parts] == expected


def _said(part: Any) -> Any:
    if isinstance(part, ToolCall):
        return part.name, part.arguments, part.tool_call_id
    if isinstance(part, ToolResult):
        return part.content, part.tool_call_id, part.seq, part.is_error
    return part.text


def assert_attributed(chat: nbchat.Chat) -> None:
    """Every row is its turn's, numbered without a gap, and the sums are right."""
    assert pending(chat.store) == []
    requests = raw_rows(chat.store, chat.id, "requests")
    calls = raw_rows(chat.store, chat.id, "tool_calls")
    answers = {m.turn: m for m in chat.messages() if m.role == "assistant"}
    users = {m.turn: m for m in chat.messages() if m.role == "user"}
    for row in (*requests, *calls):
        assert str(row["message_id"]) == answers[row["turn"]].id
    places: dict[Any, list[int]] = {}
    for row in calls:
        question = users[row["turn"]].content
        assert f"{question} {row['round']}.{row['seq']}" in row["arguments"]
        places.setdefault((row["turn"], row["round"], row["seq"]), []).append(row["attempt"])
    assert all(found == list(range(1, len(found) + 1)) for found in places.values())
    for turn, message in answers.items():
        rows = [row for row in requests if row["turn"] == turn]
        for name in ("input_tokens", "output_tokens"):
            assert (getattr(message, name) or 0) == sum(row[name] or 0 for row in rows)
