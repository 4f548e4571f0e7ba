"""DeepSeek. Its tool loops want the thinking sent back, which the wire does."""

from nbchat.providers import Provider
from nbchat.wires.openai_chat import OpenAIChat

PROVIDER = Provider(
    name="deepseek",
    wire=OpenAIChat(thinking_field="thinking"),
    base_url="https://api.deepseek.com",
    keys=("DEEPSEEK_API_KEY",),
    default_model="deepseek-v4-flash",
    prices="deepseek",
)
