"""Try chats without a provider: scripted replies, in this process or over a real local server.

    chat = nbchat.create_chat("function/x", respond=scripted(["Hello", RateLimited("slow")]))

    with ReplayServer("Hello", Answer(429, body=b"slow down")) as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url)
        chat.ask("Hi")
        server.requests[0].json["messages"]

Both play what they are given, in order. The server answers in the words of the wire that
asks, plain or streamed as asked, and remembers every request.
"""

from nbchat.testing.answers import Answer, Gate, answer_to, said, sse
from nbchat.testing.script import Script, scripted
from nbchat.testing.server import Received, ReplayServer

__all__ = [
    "Answer",
    "Gate",
    "Received",
    "ReplayServer",
    "Script",
    "answer_to",
    "said",
    "scripted",
    "sse",
]
