"""OpenRouter: many providers' models behind one key, with the cost in every answer."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="openrouter",
    wire=OpenAIChat(thinking_field="reasoning"),
    base_url="https://openrouter.ai/api/v1",
    keys=("OPENROUTER_API_KEY",),
    default_model="openrouter/auto",
    prices="openrouter",
)
