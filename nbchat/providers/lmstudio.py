"""LM Studio's server on this machine."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="lmstudio",
    wire=OpenAIChat(),
    base_url="http://127.0.0.1:1234/v1",
    probe="/models",
)
