"""Mistral. It counts streams unasked, and takes ids of nine letters and digits only."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="mistral",
    wire=OpenAIChat(stream_usage=False, tool_id_length=9),
    base_url="https://api.mistral.ai/v1",
    keys=("MISTRAL_API_KEY",),
    default_model="mistral-small-latest",
    prices="mistral",
)
