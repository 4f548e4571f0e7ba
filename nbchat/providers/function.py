"""The in-process provider: `"function/NAME"` with `respond=`, a function from the request."""

from nbchat.providers import Provider

PROVIDER = Provider(name="function")
