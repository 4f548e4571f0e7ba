"""The embedded model: llama.cpp in a child process, started when it is first asked."""

from nbchat.local.engine import CONTEXT_TOKENS, endpoint
from nbchat.local.weights import DEFAULT_MODEL
from nbchat.providers import Provider
from nbchat.wires.grammar_chat import GrammarChat

# a quarter of the context: an answer without end would leave the next question no room
PROVIDER = Provider(
    name="local",
    wire=GrammarChat(default_max_tokens=CONTEXT_TOKENS // 4),
    default_model=DEFAULT_MODEL,
    launch=endpoint,
)
