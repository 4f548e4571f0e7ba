"""What Tab offers in a magic: options, models, chats, and variables after `@`."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult

from nbchat.magics.options import CHAT, CHATSQL
from nbchat.variables import is_value

if TYPE_CHECKING:
    from nbchat.store import Store

Place = Callable[[], "Store | str | None"]
MAGIC = re.compile(r"\s*%%?(chatsql|chat)\s")
MODEL = re.compile(r"(?:-m|--model)[= ]\s*([\w./:-]*)$")
CHAT_NAME = re.compile(r"(?:-c|--chat)[= ]\s*([\w-]*)$")
NAME = re.compile(r"[\w-]+")
VARIABLE = re.compile(r"(?<![\w@.])@(\w*)$")
FLAG = re.compile(r"\s(--?[\w-]*)$")


def completions(
    context: CompletionContext, names: Mapping[str, Any], place: Place
) -> SimpleMatcherResult:
    """What fits before the cursor; nothing outside the magics, so that others may offer."""
    before = context.text_until_cursor
    is_body = context.full_text.lstrip().startswith("%%chat") and context.cursor_line > 0
    magic = MAGIC.match(before)
    if found := VARIABLE.search(before) if is_body or magic else None:
        return offer(found[1], (n for n in names if n[0] != "_" and is_value(names[n])))
    if not magic or is_body:
        return offer("", ())
    if found := MODEL.search(before):
        return offer(found[1], models())
    if found := CHAT_NAME.search(before):
        return offer(found[1], chats(names, place()))
    if found := FLAG.search(before):
        options = CHAT if magic[1] == "chat" else CHATSQL
        return offer(found[1], (flag for option in options for flag in option.flags))
    return offer("", ())


def offer(typed: str, words: Iterable[str]) -> SimpleMatcherResult:
    """The words that continue what is typed; if there are any, nothing else is offered."""
    fitting = sorted({word for word in words if word.startswith(typed)})
    return {
        "completions": [SimpleCompletion(word) for word in fitting],
        "matched_fragment": typed,
        "suppress": bool(fitting),
    }


def models() -> list[str]:
    """Every provider with its slash, and the models that are known by name."""
    from nbchat.providers import find_provider, provider_names

    providers = [find_provider(name) for name in provider_names()]
    named = [f"{p.name}/{p.default_model}" for p in providers if p.default_model]
    return [f"{p.name}/" for p in providers] + named


def chats(names: Mapping[str, Any], place: "Store | str | None") -> list[str]:
    """Chats bound to variables, and those of the store by name; no store is made to look."""
    import nbchat

    bound = [name for name, value in names.items() if isinstance(value, nbchat.Chat)]
    if place is None and not Path(os.environ.get("NBCHAT_DB", "nbchat.duckdb")).exists():
        return bound
    stored = nbchat.list_chats(store=place)["name"].dropna()
    return bound + [name for name in stored if NAME.fullmatch(name)]
