"""Whether a tool runs at once, after somebody agreed, or not at all: the rules, without I/O.

A chat's word about one tool wins; without one the stricter wins, so that nothing runs more
freely than whoever wrote the tool allowed.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from nbchat.errors import ConfigError

if TYPE_CHECKING:
    from nbchat.tools import Tool

Policy = Literal["auto", "confirm", "dry_run"]
STRICTNESS: tuple[Policy, ...] = ("auto", "confirm", "dry_run")


def checked_policy(value: Any, name: str) -> Policy:
    """The value, if it is a policy; `name` says in the error where it stood."""
    for policy in STRICTNESS:
        if value == policy:
            return policy
    raise ConfigError(f"{name}={value!r} is not a policy. Give 'auto', 'confirm' or 'dry_run'.")


def policy_of(
    tool: "Tool", chosen: Policy | Mapping[str, Policy] | None, always: Collection[str]
) -> Policy:
    """How a tool may run, by its own policy and the chat's `chosen` one.

    A mapping has policies by tool name, and under "*" the one for all others. `always`
    names the tools that need not be confirmed again.
    """
    by_name = chosen if isinstance(chosen, Mapping) else {"*": chosen} if chosen else {}
    own: Policy = tool.policy or "auto"
    stricter = max(own, by_name.get("*", own), key=STRICTNESS.index)
    policy = by_name.get(tool.name, stricter)
    return "auto" if policy == "confirm" and tool.name in always else policy
