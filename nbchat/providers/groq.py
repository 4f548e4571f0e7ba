"""Groq."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="groq",
    wire=OpenAIChat(max_tokens_field="max_completion_tokens"),
    base_url="https://api.groq.com/openai/v1",
    keys=("GROQ_API_KEY",),
    default_model="openai/gpt-oss-20b",
    prices="groq",
)
