"""The embedded model: llama.cpp in a child process, started when it is first asked."""

from nbchat.local.engine import endpoint
from nbchat.local.weights import DEFAULT_MODEL
from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="local",
    wire=OpenAIChat(),
    default_model=DEFAULT_MODEL,
    launch=endpoint,
)
