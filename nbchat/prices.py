"""What a request cost, where the price is known: offline, in decimals, with the price used.

An unknown price is None, never 0. The price list is large, so it loads at the first question.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nbchat.exchange import Usage
from nbchat.messages import JSON

PLACES = 12
MOST_USD = Decimal(10) ** 6


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars, who said so, and the price per million tokens where a list was used."""

    usd: Decimal
    source: str
    price: Mapping[str, Any] | None = None


def price_list() -> Any:
    """The price list's module; loading it takes longer than a short request."""
    return importlib.import_module("genai_prices")


def cost_of(prices: str | None, model: str, usage: Usage, at: datetime) -> Cost | None:
    """What the provider charges for this usage at that time; None when nobody knows.

    `prices` is the provider's name in the price list, None for one that is not in it. What
    the provider itself says it charged wins.
    """
    if usage.cost_usd is not None:
        return _cost(usage.cost_usd, "provider")
    if prices is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    listed = price_list()
    try:
        found = listed.calc_price(
            listed.Usage(**_counts(usage)),
            model_ref=model,
            provider_id=prices,
            genai_request_timestamp=at.replace(tzinfo=UTC),
        )
    except (LookupError, ValueError):  # an unknown model, or counts that contradict each other
        return None
    used = vars(found.model_price).items()
    price = {name: _plain(value) for name, value in used if value and name.endswith("_mtok")}
    return _cost(found.total_price, f"genai-prices {listed.__version__}", price)


def context_window(prices: str | None, model: str) -> int | None:
    """How many tokens the model can hold at once; None when nobody knows."""
    if prices is None:
        return None
    try:
        snapshot = price_list().data_snapshot.get_snapshot()
        _, found = snapshot.find_provider_model(model, None, prices, None)
    except (LookupError, ValueError):
        return None
    limit: int | None = found.context_window
    return limit


def known_models(prices: str | None) -> list[str]:
    """The models of a provider that take and give text, as the price list names them."""
    snapshot = price_list().data_snapshot.get_snapshot() if prices else None
    providers = snapshot.providers if snapshot else ()
    return [
        model.id
        for provider in providers
        if provider.id == prices
        for model in provider.models
        if model.context_window and not model.deprecated and "embedding" not in model.id
    ]


def _cost(usd: Decimal, source: str, price: Mapping[str, JSON] | None = None) -> Cost | None:
    """The cost to the twelve places that its column holds; None for what it cannot hold."""
    if not usd.is_finite() or not 0 <= usd < MOST_USD:
        return None
    return Cost(round(usd, PLACES), source, price)


def _plain(price: Any) -> JSON:
    """A price, or its tiers by the tokens they start at, as JSON without floats."""
    if isinstance(price, Decimal):
        return str(price)
    tiers = {str(tier.start): str(tier.price) for tier in price.tiers}
    return {"0": str(price.base), **tiers}


def _counts(usage: Usage) -> dict[str, int]:
    written = (usage.raw or {}).get("cache_creation")
    long_writes = written.get("ephemeral_1h_input_tokens") if isinstance(written, Mapping) else None
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": long_writes,
    }
    return {name: count for name, count in counts.items() if isinstance(count, int) and count > 0}
