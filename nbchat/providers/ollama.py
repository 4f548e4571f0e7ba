"""Ollama on this machine, through its compatible endpoint."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="ollama",
    wire=OpenAIChat(),
    base_url="http://127.0.0.1:11434/v1",
    probe="/models",
)
