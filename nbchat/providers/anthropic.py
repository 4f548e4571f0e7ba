"""Anthropic's Messages API."""

from nbchat.providers import Provider
from nbchat.wires.anthropic import AnthropicMessages

PROVIDER = Provider(
    name="anthropic",
    wire=AnthropicMessages(),
    base_url="https://api.anthropic.com",
    keys=("ANTHROPIC_API_KEY",),
    default_model="claude-haiku-4-5",
    prices="anthropic",
)
