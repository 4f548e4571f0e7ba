"""WHERE to talk: one file per service, found by its name, holding data.

`nbchat/providers/NAME.py` defines `PROVIDER`; adding a service is adding a file. A provider
names its wire; nothing here does I/O, but `function` and `local` carry a callable for it.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from nbchat.errors import UnknownProvider
from nbchat.wires import Wire


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that answers requests.

    `keys` are environment variables, the first one set wins; none means no key is needed.
    `default_model` is what `model=None` takes when the key is set. `prices` is the name
    under which its prices are known. `wire_elsewhere` is how servers speak that the user
    reaches through `base_url=`, where that differs. `launch` starts a local engine and
    returns its base URL and key. `probe` is where, relative to the base URL, a local server
    lists models.
    """

    name: str
    wire: Wire | None = None
    base_url: str | None = None
    keys: tuple[str, ...] = ()
    default_model: str | None = None
    prices: str | None = None
    launch: Callable[[str], Any] | None = None
    probe: str | None = None
    wire_elsewhere: Wire | None = None

    def wire_at(self, base_url: str | None) -> Wire | None:
        """The wire to speak at this base URL; None means the provider's own address."""
        elsewhere = base_url is not None and base_url != self.base_url
        return (elsewhere and self.wire_elsewhere) or self.wire


def provider_names() -> list[str]:
    """Every provider's name, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_provider(name: str) -> Provider:
    """The provider of that name; raises UnknownProvider listing those that exist."""
    if name not in provider_names():
        known = ", ".join(provider_names())
        raise UnknownProvider(f"No provider is named {name!r}. Use one of: {known}.")
    provider: Provider = import_module(f"{__name__}.{name}").PROVIDER
    return provider


def split_model(model: str) -> tuple[str, str]:
    """Provider and bare name of `"provider/name"`, split on the first slash only."""
    if not isinstance(model, str):
        raise UnknownProvider(f"{model!r} is no model. Write 'provider/name'.")
    provider, slash, name = model.partition("/")
    if slash and not name:
        raise UnknownProvider(f"{model!r} names no model. Write '{provider}/NAME'.")
    if not slash:
        raise UnknownProvider(f"{model!r} names no provider. Write {suggested(model)!r}.")
    find_provider(provider)
    return provider, name


def suggested(model: str) -> str:
    """The full name that a bare model name most likely means."""
    prefixes = {
        "claude": "anthropic",
        "gpt": "openai",
        "o1": "openai",
        "o3": "openai",
        "o4": "openai",
        "deepseek": "deepseek",
        "grok": "xai",
        "mistral": "mistral",
    }
    bare = model.strip("/") or "NAME"
    for prefix, provider in prefixes.items():
        if bare.lower().startswith(prefix):
            return f"{provider}/{bare}"
    return f"openai/{bare}"
