"""llama.cpp's own server on this machine."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="llamacpp",
    wire=OpenAIChat(),
    base_url="http://127.0.0.1:8080/v1",
    probe="/models",
)
