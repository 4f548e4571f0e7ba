"""What each wish of the page does: one short coroutine for every op, on the engine's thread.

Whatever waits for the store runs on a thread. What a wish raises is told to the page in words.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbchat.chat import Chat, create_chat, load_chat
from nbchat.errors import ConfigError
from nbchat.messages import Message
from nbchat.prices import context_window, known_models
from nbchat.providers import find_provider, split_model
from nbchat.render.values import data_url
from nbchat.store.attachments import load_attachment
from nbchat.stores import delete_chat
from nbchat.widget import drawer
from nbchat.widget.asked import Op
from nbchat.widget.commands import in_words, split_command
from nbchat.widget.shown import header_of, images_of, source_of

if TYPE_CHECKING:
    from nbchat.widget.session import Session

OFFERED = 200  # models

Wish = Callable[["Session", Op], Awaitable[None]]


def header(chat: Chat, title: str, context: int | None) -> dict[str, Any]:
    """The head of the panel, its numbers from the store."""
    frame = chat.stats().astype(object)
    row = frame.where(frame.notna(), None).to_dict("records")[0]
    name, bare = split_model(chat.model)
    limit = context_window(find_provider(name).prices, bare)
    return header_of(row, id_=chat.id, title=title, model=chat.model, context=context, limit=limit)


def models_offered(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """The models of the picker: those that were used, then those known of their provider."""
    name, _ = split_model(chat.model)
    used = dict.fromkeys([chat.model, *(each.model for each in messages if each.model)])
    known = [f"{name}/{model}" for model in known_models(find_provider(name).prices)]
    return [*used, *(model for model in known if model not in used)][:OFFERED]


# Asking ---------------------------------------------------------------------------------------


async def send(session: "Session", op: Op) -> None:
    """Ask, or do what a slash command says."""
    text = op["text"].strip()
    command = split_command(text, session.commands)
    if command is not None and command[0] not in session.commands:
        await built_in(session, op, *command)
        return
    if command is not None:
        word, rest = command
        said = await session.thread(lambda: session.commands[word](rest))
        if not said:
            session.tell("ack", rid=op.rid, text=f"/{word}: done")
            return
        text = str(said)
    await ask(session, op, text)


async def ask(session: "Session", op: Op, text: str) -> None:
    """Ask this text with all that is attached; what cannot be asked loses nothing."""
    chat, attached = session.chat, session.attached
    things = await session.thread(lambda: attached.of(text))
    stream = await session.thread(lambda: chat.ask_stream(text, *things, confirm="wait"))
    attached.items.clear()
    follow(session, op, stream)
    await session.tell_chips("")


def follow(session: "Session", op: Op, stream: Any) -> None:
    """Remember who asked: the turn's events come by themselves."""
    session.asked[stream.running] = op.rid
    # a stream that nobody holds stops its turn; one of a chat left meanwhile ends untold
    held = {run: kept for run, kept in session.streams.items() if not run.outcome.done()}
    session.streams = {**held, stream.running: stream}


async def retry(session: "Session", op: Op) -> None:
    """Ask again what that turn asked, beside it."""
    chat = session.chat
    follow(session, op, await session.thread(lambda: chat.retry_stream(op["id"], confirm="wait")))


async def edit(session: "Session", op: Op) -> None:
    """Ask other words in that turn's place, beside it."""
    chat, text = session.chat, op["text"]
    stream = await session.thread(lambda: chat.edit_stream(op["id"], text, confirm="wait"))
    follow(session, op, stream)


async def decide(session: "Session", op: Op) -> None:
    """Approve or deny the call that was shown; its arguments must be those that were shown."""
    chat, call = session.chat, op["call"]
    if session.approvals.get(call) != op["nonce"]:
        raise ConfigError("That call is not the one that waits. Look at it again.")
    if op["ok"]:
        await session.thread(lambda: chat.approve(call, always=op["always"]))
    else:
        await session.thread(lambda: chat.deny(call))
    session.approvals.pop(call, None)
    runs = session.running is not None or session.is_answered_elsewhere
    if not runs and not await session.thread(chat.approvals):
        stream = await session.thread(lambda: chat.resume_stream(confirm="wait"))
        follow(session, op, stream)


# Looking around -------------------------------------------------------------------------------


async def older(session: "Session", op: Op) -> None:
    """Send what was said before."""
    session.older(op["before"])


async def source(session: "Session", op: Op) -> None:
    """Send a message's text as it was written; '' for a message that is not here."""
    text = next((source_of(one) for one in session.messages if one.id == op["id"]), "")
    session.tell("source", rid=op.rid, text=text)


async def picture(session: "Session", op: Op) -> None:
    """Send a picture that a message of this chat shows; '' for one that is not here."""
    store, digest = session.chat.store, op["digest"]
    images = (image for message in session.messages for image in images_of(message))
    image = next((image for image in images if image.digest == digest), None)

    def url() -> str:
        assert image is not None
        return data_url(
            image.media_type, store.read(lambda cursor: load_attachment(cursor, digest))
        )

    session.tell("picture", rid=op.rid, url=await session.thread(url) if image else "")


async def switch(session: "Session", op: Op) -> None:
    """Go on with the branch through that message."""
    chat = session.chat
    await session.thread(lambda: chat.switch(op["id"]))
    session.tell("ack", rid=op.rid)
    await session.reload()


async def fork(session: "Session", op: Op) -> None:
    """Open a new chat that has all up to that message."""
    chat = session.chat
    new = await session.thread(lambda: chat.fork(at=op["id"]))
    session.tell("ack", rid=op.rid, text="This is the fork.")
    await session.open(new)


async def drop(session: "Session", op: Op) -> None:
    """Delete that turn."""
    chat = session.chat
    await session.thread(lambda: chat.delete_turn(op["id"]))
    session.tell("ack", rid=op.rid)
    await session.reload()


async def rate(session: "Session", op: Op) -> None:
    """Store what the reader thinks of an answer."""
    chat = session.chat
    await session.thread(lambda: chat.rate(op["id"], op["rating"], op["note"] or None))
    await session.reload()


# The chat itself ------------------------------------------------------------------------------


async def model(session: "Session", op: Op) -> None:
    """Go on with another model."""
    chat, name = session.chat, op["name"].strip()
    find_provider(split_model(name)[0])
    await session.thread(lambda: chat.with_model(name))
    session.tell("ack", rid=op.rid)
    await session.reload()


async def built_in(session: "Session", op: Op, word: str, rest: str) -> None:
    """Do what one of the panel's own commands says."""
    chat, said = session.chat, ""
    if word == "help":
        said = in_words(session.commands)
    elif word == "new":
        await open_new(session, rest or None)
    elif not rest:
        raise ConfigError(f"/{word} needs something behind it: /help shows what.")
    elif word == "model":
        find_provider(split_model(rest)[0])
        await session.thread(lambda: chat.with_model(rest))
        said = f"The model is {rest} now."
    elif word == "system":
        await session.thread(lambda: chat.with_instructions(rest, replace=True))
        said = "The instructions are set."
    else:
        said = f"Written to {await session.thread(lambda: chat.export(rest))}"
    session.tell("ack", rid=op.rid, text=said)
    if word == "model":
        await session.reload()


# The drawer -----------------------------------------------------------------------------------


async def list_chats(session: "Session", op: Op) -> None:
    """Send the chats of this store."""
    store, here, query = session.chat.store, session.chat.id, op["query"]
    found = await session.thread(lambda: drawer.rows(store, query, here))
    session.tell("list", rid=op.rid, chats=found, query=query)


async def other(session: "Session", id_: str) -> Chat:
    """That chat of this store, with what this one was given that cannot be stored."""
    chat = session.chat
    if id_ == chat.id:
        return chat
    own = chat._own
    found = await session.thread(
        lambda: load_chat(
            id_, store=chat.store, tools=own.tools.values(), respond=own.respond,
            confirm=own.confirm, middleware=own.middleware,
        )
    )  # fmt: skip
    if found is None:
        raise ConfigError("That chat is no longer in the store.")
    return found


async def open_chat(session: "Session", op: Op) -> None:
    """Show another chat of this store."""
    await session.open(await other(session, op["id"]))
    session.tell("ack", rid=op.rid)


async def open_new(session: "Session", name: str | None) -> None:
    """Start a chat with this one's model and all that it was given, and show it."""
    chat, own = session.chat, session.chat._own
    new = await session.thread(
        lambda: create_chat(
            chat.model, store=chat.store, name=name, instructions=chat.instructions,
            base_url=chat._settings.base_url, api_key=own.key, tools=own.tools.values(),
            respond=own.respond, confirm=own.confirm, middleware=own.middleware,
        )
    )  # fmt: skip
    await session.open(new)


async def new(session: "Session", op: Op) -> None:
    """Start a new chat and show it."""
    await open_new(session, None)
    session.tell("ack", rid=op.rid)


async def rename(session: "Session", op: Op) -> None:
    """Give a chat another name."""
    chat = await other(session, op["id"])
    await session.thread(lambda: chat.rename(op["title"].strip() or None))
    await changed(session, op)


async def pin(session: "Session", op: Op) -> None:
    """Put a chat above the others, or back among them."""
    chat = await other(session, op["id"])
    await session.thread(chat.pin if op["on"] else chat.unpin)
    await changed(session, op)


async def delete(session: "Session", op: Op) -> None:
    """Delete a chat; the one that is shown makes room for a new one."""
    chat = session.chat
    if op["id"] == chat.id:
        await open_new(session, None)
    await session.thread(lambda: delete_chat(op["id"], store=chat.store))
    await changed(session, op)


async def changed(session: "Session", op: Op) -> None:
    """Show the drawer and the head as they are now."""
    session.tell("ack", rid=op.rid)
    await session.reload()
    await list_chats(session, Op("list", {"rid": op.rid, "query": ""}))


# The composer ---------------------------------------------------------------------------------


async def names(session: "Session", op: Op) -> None:
    """Offer the variables that begin so."""
    session.tell("names", rid=op.rid, items=session.attached.offered(op["prefix"]))


async def draft(session: "Session", op: Op) -> None:
    """Say what this draft would send."""
    await session.tell_chips(op["text"])


async def attach(session: "Session", op: Op) -> None:
    """Attach a file that was dropped, pasted or chosen."""
    await session.thread(lambda: session.attached.add(op.data, op["name"]))
    session.tell("ack", rid=op.rid)
    await session.tell_chips("")


async def figure(session: "Session", op: Op) -> None:
    """Attach the last figure that a cell showed."""
    found = session.last_figure()
    if found is None:
        raise ConfigError("No figure was shown in this notebook yet.")
    await session.thread(lambda: session.attached.add(found, "figure.png"))
    session.tell("ack", rid=op.rid)
    await session.tell_chips("")


async def unattach(session: "Session", op: Op) -> None:
    """Take back what was attached."""
    session.attached.remove(op["id"])
    await session.tell_chips("")


WISHES: Mapping[str, Wish] = {
    "send": send, "retry": retry, "edit": edit, "decide": decide, "older": older,
    "switch": switch, "fork": fork, "drop": drop, "rate": rate, "model": model,
    "list": list_chats, "open": open_chat, "new": new, "rename": rename, "pin": pin,
    "delete": delete, "names": names, "draft": draft, "attach": attach, "figure": figure,
    "unattach": unattach, "source": source, "picture": picture,
}  # fmt: skip
