"""The embedded model: llama.cpp in a child process, started when it is first asked."""

from nbchat.local.engine import endpoint
from nbchat.local.weights import DEFAULT_MODEL
from nbchat.providers import Provider
from nbchat.wires.grammar_chat import GrammarChat

PROVIDER = Provider(
    name="local",
    wire=GrammarChat(),
    default_model=DEFAULT_MODEL,
    launch=endpoint,
)
