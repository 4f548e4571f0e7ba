"""What a panel does: one task on the engine's thread takes wishes and news in turn, and tells
the page.

Invariant: every message to the page leaves from here, in order, with the next number; what a
page missed it gets by asking for a snapshot. The store is read on threads, never on the loop.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from nbchat.engine.loop import engine_loop, in_thread, submit
from nbchat.engine.watching import TurnBegun, TurnEnded, watch
from nbchat.errors import NbchatError
from nbchat.events import ApprovalEvent
from nbchat.messages import Message
from nbchat.render.blocks import approval_nonce
from nbchat.render.plain import clean, one_line
from nbchat.store.chats import load_chat_row
from nbchat.store.shown import Surroundings, load_surroundings, marker
from nbchat.widget.answer import TICK_S, Answer, blocks_before, state_after
from nbchat.widget.asked import Op, parse_op
from nbchat.widget.attached import Attached
from nbchat.widget.commands import Command, listed
from nbchat.widget.saved import SavedTranscript, pictures_of
from nbchat.widget.shown import shown_message, title_of
from nbchat.widget.wishes import WISHES, header, models_offered

if TYPE_CHECKING:
    from nbchat.chat import Chat

T = TypeVar("T")

RIDS = 1_000  # of the page's last wishes, each of which is done once
PAGE = 50  # messages of a snapshot
SAVE_S = 0.2  # of rest before the transcript is saved: turns in quick succession share one
LOOK_S = 1.0  # how often the file is looked at for what other processes wrote


class Session:
    """One panel over one chat; `send` puts a message to the page."""

    def __init__(
        self,
        chat: "Chat",
        send: Callable[[Any], None],
        *,
        saved: SavedTranscript,
        attached: Attached,
        commands: Mapping[str, Command],
        last_figure: Callable[[], Any],
    ) -> None:
        self.chat = chat
        self.attached = attached
        self.commands = commands
        self.last_figure = last_figure
        self.messages: list[Message] = []
        self.around = Surroundings()
        self.first = 0  # the first message that the page has
        self.answer: Answer | None = None
        self.asked: dict[Any, str] = {}
        self.streams: dict[Any, Any] = {}
        self.approvals: dict[str, str] = {}
        self._send, self._saved = send, saved
        self._number = 0
        self._header: dict[str, Any] = {}
        self._models: list[str] = []
        self._status: dict[str, Any] = status("idle")
        self._since_s: float | None = None
        self._rids: dict[str, None] = {}
        self._rid_of: dict[str, str] = {}  # by the id of the message that was asked so
        self._mark: Any = None
        self._stamp: Any = None
        self._looked_s = 0.0
        self._has_page = self._is_unsaved = False
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._unwatch = watch(chat.store.path, chat.id, self._post)
        self._task = submit(self._run())

    # From other threads -----------------------------------------------------------------------

    def take(self, content: Any, buffers: Sequence[Any] = ()) -> None:
        """Take a message of the page; returns at once, on whatever thread it is called."""
        op = parse_op(content, buffers)
        if op is None or (op.rid and op.rid in self._rids):
            return
        self._remember(op.rid)
        if op.name == "stop":
            self.chat.stop()
            self._stop_others()
        self._post(op)

    def _remember(self, rid: str) -> None:
        """A wish that comes twice, after a double click or a reload, is done once."""
        if rid:
            self._rids[rid] = None
        if len(self._rids) > RIDS:
            self._rids.pop(next(iter(self._rids)))

    def close(self) -> None:
        """Watch no more."""
        self._unwatch()
        self._task.cancel()

    def title_for(self, messages: Sequence[Message]) -> str:
        """What the chat is called."""
        return title_of(self.chat.name, messages[0].content if messages else "")

    @property
    def is_answered_elsewhere(self) -> bool:
        """Whether a turn of another process is pending; what was decided lets it go on there."""
        return bool(self.messages) and self.messages[-1].status == "pending"

    @property
    def running(self) -> Any:
        """The turn that runs, whoever asked it; None between turns."""
        return self.answer.running if self.answer is not None else None

    def _stop_others(self) -> None:
        """A turn that another Chat object asked is shown here, so it can be stopped here."""
        running = self.running
        if running is not None:
            running.cancel()

    def _post(self, news: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone at exit
            engine_loop().call_soon_threadsafe(self._inbox.put_nowait, news)

    # The task ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._guarded(self.reload())
        while True:
            news = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s()):
                    news = await self._inbox.get()
            await self._guarded(self._handle(news), news)
            if self.answer is not None and self.answer.is_due():
                self._tell_news(self.answer)

    def _patience_s(self) -> float:
        """How long to wait for news before looking at what else is due."""
        if self.answer is not None:
            return TICK_S if self.answer.is_dirty else LOOK_S
        return SAVE_S if self._is_unsaved else LOOK_S

    async def _guarded(self, work: Any, news: Any = None) -> None:
        """One thing that goes wrong is told, and the panel lives on."""
        try:
            await work
        except Exception as error:
            rid = news.rid if isinstance(news, Op) else ""
            words = (
                str(error) if isinstance(error, NbchatError) else f"{type(error).__name__}: {error}"
            )
            self.tell("err", rid=rid, text=clean(words))

    async def _handle(self, news: Any) -> None:
        match news:
            case None if self._is_unsaved and self.running is None:
                await self._save_transcript()
            case None:
                await self._look()
            case Op(name="hello"):
                self._has_page = True
                if not self._header:  # the store was busy when the panel was made
                    await self._read()
                self.snapshot()
                await self.tell_chips("")
            case Op(name="stop"):
                if self.running is not None:
                    self.set_status("stopping", "Stopping…")
            case Op():
                await WISHES[news.name](self, news)
            case TurnBegun():
                await self._begin(news)
            case TurnEnded():
                await self._end(news)
            case _:
                self._follow(news)

    async def thread(self, work: Callable[[], T]) -> T:
        """What the work returns, done on a thread: stores and files may take their time."""
        return await in_thread(work)

    def tell(self, op: str, **fields: Any) -> None:
        """Send one message, with its number."""
        if not self._has_page and op != "snap":
            return
        self._number += 1
        self._send({"op": op, "s": self._number, **fields})

    # The whole --------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Read the chat anew and show it."""
        await self._read()
        self.first = max(0, len(self.messages) - PAGE)
        if self._has_page:
            self.snapshot()
        self._is_unsaved = True

    async def _read(self) -> None:
        chat = self.chat

        def read() -> Any:
            take_over(chat)
            messages = chat.messages()
            head = messages[-1].id if messages else None
            around = chat.store.read(lambda cursor: load_surroundings(cursor, chat.id, head))
            mark = chat.store.read(lambda cursor: marker(cursor, chat.id))
            waiting = chat.approvals()
            top = header(chat, self.title_for(messages), around.context_tokens)
            return messages, around, mark, waiting, top, models_offered(chat, messages)

        found = await in_thread(read)
        self.messages, self.around, self._mark, waiting, self._header, self._models = found
        self.approvals |= {
            event.call_id: approval_nonce(event.call_id, event.arguments) for event in waiting
        }
        self._stamp = stamp(chat.store.path)

    def snapshot(self) -> None:
        """Send everything that the page needs to begin."""
        shown = [self.shown(message) for message in self.messages[self.first :]]
        if self.answer is not None:
            self.answer.told(shown[-1]["blocks"] if shown else [])
        self.tell(
            "snap",
            chat=self._header,
            status=self._status_now(),
            msgs=shown,
            more=self.first > 0,
            models=self._models,
            commands=listed(self.commands),
        )

    def shown(self, message: Message) -> dict[str, Any]:
        """The message as the page shows it, live where it is on its way."""
        answer = self.answer
        is_live = answer is not None and message.id == answer.id
        row = shown_message(message, self.around, answer.blocks() if answer and is_live else None)
        return row | {"rid": self._rid_of.get(message.id)}

    def older(self, before: str) -> None:
        """Send the messages before the first one that the page has."""
        start = max(0, self.first - PAGE)
        rows = [self.shown(message) for message in self.messages[start : self.first]]
        self.first = start
        self.tell("older", msgs=rows, more=start > 0)

    def set_status(self, state: str, text: str = "", since_s: float | None = None) -> None:
        """Say what happens now, and since when where that is of interest."""
        self._status, self._since_s = status(state, text), since_s
        self.tell("status", status=self._status_now())

    def _status_now(self) -> dict[str, Any]:
        waited = {} if self._since_s is None else {"waited": time.monotonic() - self._since_s}
        return self._status | waited

    async def tell_chips(self, draft: str) -> None:
        """Say what will be sent with the next message, and about how many tokens that is."""
        chips = await in_thread(lambda: self.attached.chips(draft))
        tokens = sum(chip["tokens"] for chip in chips) + len(draft) // 4
        self.tell("chips", chips=chips, text=f"about {tokens:,} tokens" if tokens else "")

    # A turn -----------------------------------------------------------------------------------

    async def _begin(self, news: TurnBegun) -> None:
        ids = {message.id for message in self.messages}
        goes_on = news.assistant.id in ids
        linear = not self.messages or news.user.parent_id == self.messages[-1].id
        self.answer = Answer(news.running, news.assistant.id)
        rid = self.asked.pop(news.running, None)
        if goes_on or not linear:
            await self._read()
            before = blocks_before(news.assistant, self.around) if goes_on else ()
            self.answer = Answer(news.running, news.assistant.id, before)
            self.first = min(self.first, max(0, len(self.messages) - 1))
            if rid:
                self.tell("ack", rid=rid)
            self.snapshot()
        else:
            after = self.messages[-1].id if self.messages else None
            self.messages += [news.user, news.assistant]
            if rid:
                self._rid_of[news.user.id] = rid
                self.tell("ack", rid=rid, id=news.user.id)
            self.tell("msg", msg=self.shown(news.user), after=after)
            self.tell("msg", msg=self.shown(news.assistant), after=news.user.id)
        self.set_status("waiting", "Waiting for the model…", time.monotonic())

    def _follow(self, event: Any) -> None:
        if self.answer is None:
            return
        self.answer.feed(event)
        if isinstance(event, ApprovalEvent):
            self.approvals[event.call_id] = approval_nonce(event.call_id, event.arguments)
            self.tell("said", text=f"The tool {one_line(event.name, 60)} needs your approval.")
        found = state_after(event)
        if found is not None and (found[0] != "streaming" or self._status["state"] != "streaming"):
            state, text = found
            is_timed = state in ("tool", "waiting")
            self.set_status(state, text, time.monotonic() if is_timed else None)

    def _tell_news(self, answer: Answer) -> None:
        """Send what has changed of the answer."""
        is_last = bool(self.messages) and self.messages[-1].id == answer.id
        news = answer.news(is_last=is_last)
        if news is not None:
            self.tell(**news)

    async def _end(self, news: TurnEnded) -> None:
        self.streams.pop(news.running, None)
        rid = self.asked.pop(news.running, None)
        if rid:  # it never began, so nothing of it is stored
            self.tell("err", rid=rid, text=clean(str(news.error or "Stopped before it began.")))
        if news.running is not self.running:
            if news.began and self.running is None:  # it was under way when this panel came
                await self.reload()
            return
        answer, self.answer = self.answer, None
        if answer is not None and answer.is_dirty:
            self._tell_news(answer)
        before = {message.id for message in self.messages}
        self.set_status("idle")
        await self._read()
        self.tell("drop", ids=sorted(before - {message.id for message in self.messages}))
        for at in range(max(0, len(self.messages) - 2), len(self.messages)):
            after = self.messages[at - 1].id if at else None
            self.tell("msg", msg=self._without_known(self.messages[at], answer), after=after)
        self.tell("chat", chat=self._header)
        self.tell("said", text=self._said(news.error))
        self._is_unsaved = True

    def _without_known(self, message: Message, answer: Answer | None) -> dict[str, Any]:
        """The message as the page shows it, without the blocks that it has already."""
        shown = self.shown(message)
        is_answer = answer is not None and message.id == answer.id
        is_known = answer is not None and is_answer and answer.is_known(shown["blocks"])
        return shown | ({"blocks": None} if is_known else {})

    def _said(self, error: BaseException | None) -> str:
        if error is not None:
            return f"The turn failed: {one_line(str(error), 200)}"
        last = self.messages[-1] if self.messages else None
        if last is None or last.status != "complete":
            return "Stopped."
        return f"Answer: {one_line(last.content, 400)}"

    # Others -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        """See whether another process, or another object of this one, changed the chat."""
        now = time.monotonic()
        if self.running is not None or not self._has_page or now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        seen = stamp(self.chat.store.path)
        if seen == self._stamp:
            return
        chat = self.chat
        mark = await in_thread(lambda: chat.store.read(lambda cursor: marker(cursor, chat.id)))
        self._stamp = stamp(chat.store.path)
        if mark is None:
            self.tell("gone", text="This chat was deleted. Open another one, or start a new one.")
        elif mark != self._mark:
            await self.reload()

    async def open(self, chat: "Chat") -> None:
        """Show another chat in this panel."""
        self._unwatch()
        self.chat, self.answer, self.approvals = chat, None, {}
        self._unwatch = watch(chat.store.path, chat.id, self._post)
        self._status, self._since_s = status("idle"), None
        await self.reload()

    async def _save_transcript(self) -> None:
        self._is_unsaved = False
        messages, title = list(self.messages), self.title_for(self.messages)
        store = self.chat.store

        def save() -> None:
            self._saved.update(messages, title, store.path, pictures_of(store, messages))

        await in_thread(save)


def status(state: str, text: str = "") -> dict[str, Any]:
    """What happens now, as the page shows it."""
    return {"state": state, "text": text}


def take_over(chat: "Chat") -> None:
    """Have the object know what another one chose."""
    row = chat.store.read(lambda cursor: load_chat_row(cursor, chat.id))
    if row is not None:
        chat._follow(row)


def stamp(path: str) -> Any:
    """What differs when the file was written to; None where there is no file."""
    found = []
    for place in (path, f"{path}.wal"):
        with contextlib.suppress(OSError):
            facts = os.stat(place)
            found.append((facts.st_mtime_ns, facts.st_size, facts.st_ino))
    return tuple(found)
