"""What becomes of an answer that was paid for and cannot be stored.

It is in the error's `.unsaved`, and, where it may be stored at all, beside the store's file.
"""

from nbchat.engine.draft import Draft
from nbchat.engine.loop import Worker, settled
from nbchat.engine.plan import Plan
from nbchat.errors import StoreBusy, StoreError
from nbchat.messages import Message
from nbchat.store.chats import is_deleted


async def rescued(
    error: StoreError, answer: Message, draft: Draft, plan: Plan, worker: Worker
) -> StoreError:
    """The error, once what was paid for is out of danger; it says where that is."""
    plan.remember(answer)
    is_worth = answer.parts and not await _is_deleted(error, answer, plan, worker)
    said = await _aside(answer, draft, plan, worker) if is_worth else ""
    kept = type(error)(f"{error}{said}")
    kept.unsaved = answer
    return kept


async def _aside(answer: Message, draft: Draft, plan: Plan, worker: Worker) -> str:
    """Put what may be stored of the answer beside the file; what there is to say of that."""
    store, kept = plan.store, plan.persist.answer(answer, draft.rows)
    pictures = plan.storable([*draft.pictures.values()])
    what = "The answer is" if plan.persist.content else "Only what the answer used is"
    try:
        place = await settled(worker.do(lambda: store.keep(*kept, pictures)), last=True)
    except OSError as trouble:
        return f" The answer is in this error's .unsaved only ({trouble})."
    return f" {what} kept in {str(place)!r} until the store opens again." if place else ""


async def _is_deleted(error: StoreError, answer: Message, plan: Plan, worker: Worker) -> bool:
    """Whether the chat is gone: nothing would ever take the answer in."""
    store = plan.store
    if isinstance(error, StoreBusy):
        return False
    try:
        reading = worker.do(lambda: store.read(lambda cursor: is_deleted(cursor, answer)))
        return await settled(reading, last=True)
    except StoreError:
        return False
