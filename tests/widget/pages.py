"""A page without a browser: what the kernel sends it, and what it asks, by the protocol's table."""

import queue
from collections.abc import Callable, Mapping
from typing import Any

from nbchat.widget.attached import Attached
from nbchat.widget.commands import checked_commands
from nbchat.widget.saved import SavedTranscript
from nbchat.widget.session import Session

PATIENCE_S = 20


class Page:
    """What one page was told, in order, and the state that follows from it."""

    def __init__(
        self,
        chat: Any,
        *,
        names: Mapping[str, Any] | None = None,
        commands: Mapping[str, Any] | None = None,
        figure: Any = None,
        saved: Any = None,
    ) -> None:
        self._told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.told: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self.chat: dict[str, Any] = {}
        self.chips: list[dict[str, Any]] = []
        self._rids = 0
        self.session = Session(
            chat, self._told.put, saved=saved or SavedTranscript(),
            attached=Attached(lambda: names or {}), commands=checked_commands(commands),
            last_figure=lambda: figure,
        )  # fmt: skip
        self.say("hello")
        self.until(lambda told: told["op"] == "snap")

    def say(self, op: str, buffers: Any = (), **fields: Any) -> str:
        """Ask the kernel; the id of the wish."""
        self._rids += 1
        rid = fields.setdefault("rid", f"r{self._rids}")
        self.session.take({"op": op, **fields}, buffers)
        return rid

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message that is wanted; all before it are taken in."""
        while True:
            told = self._told.get(timeout=PATIENCE_S)
            self._take(told)
            if wanted(told):
                return told

    def until_op(self, op: str, **fields: Any) -> dict[str, Any]:
        """The next message of that kind with these fields."""
        return self.until(
            lambda told: told["op"] == op and all(told[key] == fields[key] for key in fields)
        )

    def until_idle(self) -> None:
        """Wait for a turn's end."""
        self.until(lambda told: told["op"] == "said" and self.status["state"] == "idle")

    def ask(self, text: str) -> None:
        """Send the text and wait for the turn's end."""
        self.say("send", text=text)
        self.until_idle()

    @property
    def texts(self) -> list[str]:
        """What each message says, in order; an answer's source is asked for, as for copying."""
        return [
            message["text"] if message["role"] == "user" else self.source(message["id"])
            for message in list(self.messages)
        ]

    def source(self, id_: str) -> str:
        """A message's text as it was written."""
        text: str = self.until_op("source", rid=self.say("source", id=id_))["text"]
        return text

    def _take(self, told: dict[str, Any]) -> None:
        self.told.append(told)
        numbers = [message["s"] for message in self.told]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        match told["op"]:
            case "snap":
                self.messages, self.chat, self.status = told["msgs"], told["chat"], told["status"]
            case "msg":
                self._put(told["msg"], told["after"])
            case "blk":
                message = next(m for m in self.messages if m["id"] == told["id"])
                message["blocks"] = message["blocks"][: told["k"]] + told["blocks"]
            case "grow":
                block = self.messages[-1]["blocks"][-1]
                key = "text" if block["kind"] == "think" else "html"
                grown = {**block, key: block[key][: told["keep"]] + told["rest"]}
                self.messages[-1]["blocks"][-1:] = [grown, *told.get("more", [])]
            case "drop":
                self.messages = [m for m in self.messages if m["id"] not in told["ids"]]
            case "older":
                self.messages = told["msgs"] + self.messages
            case "status":
                self.status = told["status"]
            case "chat":
                self.chat = told["chat"]
            case "chips":
                self.chips = told["chips"]

    def _put(self, message: dict[str, Any], after: str | None) -> None:
        ids = [m["id"] for m in self.messages]
        if message["id"] in ids:
            if message["blocks"] is None:
                message["blocks"] = self.messages[ids.index(message["id"])]["blocks"]
            self.messages[ids.index(message["id"])] = message
            return
        at = ids.index(after) + 1 if after in ids else 0
        self.messages.insert(at, message)
