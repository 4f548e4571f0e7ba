"""Whether a tool runs at once, after a yes, or not at all."""

import pytest

import nbchat
from nbchat.tools import Tool, as_tool, policy_of
from nbchat.tools.policies import checked_policy


def delete(path: str) -> None:
    """Delete it."""


RULES = {
    "nobody said": (None, None, [], "auto"),
    "the tool": ("confirm", None, [], "confirm"),
    "the chat": (None, "confirm", [], "confirm"),
    "the stricter is the tool's": ("dry_run", "confirm", [], "dry_run"),
    "the stricter is the chat's": ("confirm", "dry_run", [], "dry_run"),
    "the chat cannot loosen in general": ("confirm", "auto", [], "confirm"),
    "the chat can loosen by name": ("dry_run", {"delete": "auto"}, [], "auto"),
    "by name before in general": (None, {"delete": "confirm", "*": "dry_run"}, [], "confirm"),
    "in general for those not named": ("auto", {"read": "auto", "*": "confirm"}, [], "confirm"),
    "in general is never looser": ("confirm", {"*": "auto"}, [], "confirm"),
    "not named at all": ("confirm", {"read": "auto"}, [], "confirm"),
    "always": ("confirm", None, ["delete"], "auto"),
    "always, by name": (None, {"delete": "confirm"}, ["delete"], "auto"),
    "always is of another": ("confirm", None, ["read"], "confirm"),
    "always loosens no dry run": ("dry_run", None, ["delete"], "dry_run"),
}


@pytest.mark.parametrize(("own", "chosen", "always", "policy"), RULES.values(), ids=RULES)
def test_the_policy_follows_the_rules(own, chosen, always, policy):
    assert policy_of(Tool(delete, policy=own), chosen, always) == policy


@pytest.mark.parametrize("value", ["ask", "AUTO", "", None, True, 1, ["auto"]])
def test_anything_else_is_no_policy(value):
    with pytest.raises(nbchat.ConfigError, match=r"^tool_policy=.*'dry_run'\.$"):
        checked_policy(value, "tool_policy")


def test_a_policy_is_given_back():
    assert [checked_policy(each, "p") for each in ("auto", "confirm", "dry_run")] == [
        "auto",
        "confirm",
        "dry_run",
    ]


def test_a_tool_keeps_what_it_was_told():
    made = Tool(delete, policy="confirm", timeout=2.5, max_chars=100)
    by_decorator = nbchat.tool(policy="confirm", timeout=2.5, max_chars=100)(delete)
    by_dict = as_tool(
        {"name": "x", "handler": delete, "policy": "confirm", "timeout": 2.5, "max_chars": 100}
    )
    plain = Tool(delete)

    for each in (made, by_decorator, by_dict):
        assert (each.policy, each.timeout, each.max_chars) == ("confirm", 2.5, 100)
    assert (plain.policy, plain.timeout, plain.max_chars) == (None, None, None)


WRONG = [
    {"policy": "ask"}, {"policy": ""},
    {"timeout": 0}, {"timeout": -1}, {"timeout": "5"}, {"timeout": True},
    {"timeout": float("nan")}, {"timeout": float("inf")},
    {"max_chars": 0}, {"max_chars": 1.5}, {"max_chars": False},
]  # fmt: skip


@pytest.mark.parametrize("keywords", WRONG, ids=str)
def test_what_cannot_be_is_refused_by_name(keywords):
    (name,) = keywords

    with pytest.raises(nbchat.ConfigError, match=f"'delete': {name}="):
        Tool(delete, **keywords)
    with pytest.raises(nbchat.ConfigError, match=name):
        as_tool({"name": "delete", "handler": delete, **keywords})
