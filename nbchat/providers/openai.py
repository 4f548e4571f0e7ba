"""OpenAI, and with `base_url=` any server that speaks Chat Completions."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="openai",
    wire=OpenAIChat(max_tokens_field="max_completion_tokens"),
    base_url="https://api.openai.com/v1",
    keys=("OPENAI_API_KEY",),
    default_model="gpt-5.4-mini",
    prices="openai",
    wire_elsewhere=OpenAIChat(),
)
