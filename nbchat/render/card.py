"""How a chat shows itself in one line: name, model, turns, tokens, cost, file.

Invariant: a cost that is not wholly known never looks like one that is.
"""

from decimal import Decimal

from nbchat.render.plain import escaped, joined, money


def plain_card(
    *,
    name: str | None,
    model: str,
    turns: int,
    input_tokens: int | None,
    output_tokens: int | None,
    cost_usd: Decimal | float | None,
    cost_complete: bool,
    store_path: str | None,
    is_recorded: bool = True,
) -> str:
    """The chat in one line of text; what is None is left out, but for the cost.

    Without `is_recorded` the chat keeps no rows of what it uses, and the line says that instead.
    """
    known = [count for count in (input_tokens, output_tokens) if count is not None]
    tokens = f"{sum(known):,} tokens" if known else None
    used = [tokens, cost_in_words(cost_usd, cost_complete)]
    return joined(
        [
            name,
            model,
            f"{turns:,} turn{'' if turns == 1 else 's'}",
            *(used if is_recorded else ["usage not recorded"]),
            store_path,
        ]
    )


def render_card(
    *,
    name: str | None,
    model: str,
    turns: int,
    input_tokens: int | None,
    output_tokens: int | None,
    cost_usd: Decimal | float | None,
    cost_complete: bool,
    store_path: str | None,
    is_recorded: bool = True,
) -> str:
    """The same line as HTML."""
    line = plain_card(
        name=name,
        model=model,
        turns=turns,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
        cost_complete=cost_complete,
        store_path=store_path,
        is_recorded=is_recorded,
    )
    return f'<div class="nbchat-card tex2jax_ignore mathjax_ignore">{escaped(line)}</div>'


def cost_in_words(cost_usd: Decimal | float | None, complete: bool) -> str:
    """The cost, "at least" it when some price is unknown, or that it is unknown."""
    if cost_usd is None or (not complete and not cost_usd):
        return "cost unknown"
    return money(cost_usd) if complete else f"at least {money(cost_usd)}"
