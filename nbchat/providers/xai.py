"""xAI."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="xai",
    wire=OpenAIChat(),
    base_url="https://api.x.ai/v1",
    keys=("XAI_API_KEY",),
    default_model="grok-4.3",
    prices="x-ai",
)
