"""What a round of a turn asks the model: a pure function of what is stored and what was planned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nbchat.engine.draft import Draft
from nbchat.engine.plan import Plan
from nbchat.exchange import Request, Settings
from nbchat.messages import Part, ToolCall
from nbchat.store.turns import Begun


def request_of(plan: Plan, begun: Begun, draft: Draft, files: Mapping[str, bytes]) -> Request:
    """The request for the next reply; `files` are the bytes of all that its messages name."""
    replayed = tuple(
        message
        for message in (*begun.history, begun.user)
        if message.status != "failed" and message.content_removed_at is None
    )
    if draft.parts:
        replayed = (*replayed, draft.snapshot())
    return Request(
        provider=plan.target.provider.name,
        model=plan.target.model,
        messages=replayed,
        instructions=plan.instructions,
        tools=tuple(tool.spec for tool in plan.toolbox.tools.values()),
        settings=settings_after(draft.parts, plan.settings),
        stream=plan.stream,
        attachments=dict(files),
    )


def settings_after(parts: Sequence[Part], settings: Settings) -> Settings:
    """A choice that forces tools holds until one was called, or the turn could never end."""
    called = any(isinstance(part, ToolCall) for part in parts)
    is_forced = settings.tool_choice not in (None, "auto", "none")
    return replace(settings, tool_choice="auto") if called and is_forced else settings
