"""What somebody chose for a chat: settings that can be changed later, and where they are stored.

Invariant: what a method changes is in the store before it returns, key by key, because another
object of the chat may have changed the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

from nbchat.asking import Unstored
from nbchat.default_model import all_keys
from nbchat.hooks import Hooked
from nbchat.options import (
    ChatSettings,
    changed,
    checked_confirm,
    checked_key,
    checked_mapping,
    checked_text,
    checked_tool_policy,
    checked_url,
)
from nbchat.providers import split_model
from nbchat.store import Store
from nbchat.store.chats import ChatRow, archive_chat, merge_metadata, pin_chat, update_chat
from nbchat.store.values import hide
from nbchat.tools import by_name


class Chosen(Hooked):
    """What can be chosen for a chat; each method stores it at once and returns the chat."""

    store: Store
    id: str
    name: str | None
    model: str
    provider: str
    instructions: str | None
    metadata: Mapping[str, Any]
    _own: Unstored
    _settings: ChatSettings

    def with_tool(self, tool: Any) -> Self:
        """Let the model call one more tool; one of the same name is replaced."""
        return self.with_tools([tool])

    def with_tools(self, tools: Iterable[Any], *, replace: bool = False) -> Self:
        """Let the model call these tools too, or with `replace=True` only these."""
        self._own.tools = {**({} if replace else self._own.tools), **by_name(tools)}
        return self

    def with_instructions(self, text: str | None, *, replace: bool = False) -> Self:
        """Add to the instructions on a new line, or with `replace=True` put them in their place."""
        added = checked_text(text, "instructions")
        joined = added if replace else "\n".join(filter(None, [self.instructions, added])) or None
        self.instructions = joined
        return self._store(instructions=joined)

    def with_model(
        self, model: str, *, base_url: str | None = None, api_key: str | None = None
    ) -> Self:
        """Go on with another model; another provider drops base URL and key unless given."""
        provider, _ = split_model(model)
        url, key = checked_url(base_url), checked_key(api_key)
        held = self._settings.base_url
        if provider != self.provider:
            held, self._own.key = None, None
        self._own.said_url = bool(url) or self._own.said_url
        self._own.key = key or self._own.key
        self.model, self.provider = model, provider
        settings = replace(self._settings, base_url=url or held)
        return self._change(settings, model=model, provider=provider)

    def with_thinking(self, *, budget: int | None = None, effort: str | None = None) -> Self:
        """Have the model think: up to `budget` tokens, or with an effort; neither turns it off."""
        given = {"budget": budget, "effort": effort}
        thinking = {key: value for key, value in given.items() if value is not None}
        return self._with(thinking=thinking or None)

    def with_temperature(self, temperature: float | None) -> Self:
        """Set the temperature; None leaves it to the provider."""
        return self._with(temperature=temperature)

    def with_params(self, **params: Any) -> Self:
        """Add to what is merged into every request's body as it is; None removes a key."""
        merged = {**self._settings.answer.params, **params}
        return self._with(params={key: value for key, value in merged.items() if value is not None})

    def with_policy(self, tool_policy: Any = None, *, confirm: Any = None) -> Self:
        """Say how tools may run: "auto", "confirm", "dry_run", or a dict of these by tool name.

        `confirm` is who approves, for this object: a function that gets the call (its name,
        arguments and call_id) and gives True, False or "always"; "wait" for approve() or deny()
        by whoever sees the call; "later" to end the turn until then; "deny", the default, for
        nobody. With `confirm` alone the policy stays as it is; `with_policy(None)` leaves it to
        the tools.
        """
        if confirm is not None:
            self._own.confirm = checked_confirm(confirm)
        if tool_policy is None and confirm is not None:
            return self
        policy = checked_tool_policy(tool_policy)
        return self._change(replace(self._settings, tool_policy=policy))

    def _with(self, **settings: Any) -> Self:
        answer = changed(self._settings.answer, settings)
        return self._change(replace(self._settings, answer=answer))

    def _change(self, settings: ChatSettings, **named: Any) -> Self:
        """Take other settings and store what is new in them: others may have changed the rest."""
        new = settings.since(self._settings)
        self._settings = settings
        return self._store(**named, settings=new)

    def rename(self, name: str | None) -> Self:
        """Give the chat another name."""
        self.name = checked_text(name, "name")
        return self._store(name=self.name)

    def archive(self) -> Self:
        """Put the chat away: `list_chats()` no longer shows it, all else works as before."""
        return self._archive(True)

    def unarchive(self) -> Self:
        """Have `list_chats()` show the chat again."""
        return self._archive(False)

    def _archive(self, archived: bool) -> Self:
        self.store.transact(lambda cursor: archive_chat(cursor, self.id, archived=archived))
        return self

    def _follow(self, row: ChatRow) -> None:
        """Be what another object of the chat has stored; an agent's class says for itself.

        Another provider drops this object's key and address, as `with_model` does.
        """
        self.name = row.name
        if self._own.configure is not None:
            return
        if row.provider != self.provider:
            self._own.key, self._own.said_url = None, False
            self._settings = ChatSettings.of_json(row.settings)
        self.model, self.provider = row.model, row.provider
        self.instructions, self.metadata = row.instructions, row.metadata

    def pin(self) -> Self:
        """Have `list_chats()` show the chat above those that are not pinned."""
        return self._pin(True)

    def unpin(self) -> Self:
        """Have `list_chats()` show the chat in its order again."""
        return self._pin(False)

    def _pin(self, pinned: bool) -> Self:
        self.store.transact(lambda cursor: pin_chat(cursor, self.id, pinned=pinned))
        return self

    def update_metadata(self, patch: Mapping[str, Any]) -> Self:
        """Merge into the metadata, key by key, in the store."""
        hide_keys()
        given = checked_mapping(patch, "metadata")
        self.metadata = self.store.transact(lambda cursor: merge_metadata(cursor, self.id, given))
        return self

    def _store(self, **changes: Any) -> Self:
        hide_keys()
        self.store.transact(lambda cursor: update_chat(cursor, self.id, changes))
        return self


def hide_keys() -> None:
    """Have no key of this process stored or exported."""
    for key in all_keys():
        hide(key)
