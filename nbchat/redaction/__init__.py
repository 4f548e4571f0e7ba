"""Secrets and personal data masked by the shape of their value, in texts, JSON and messages.

It does not catch what has no shape of its own or hides it: names, street addresses, plain
passwords, keys without a known prefix, dates nobody calls a birth date, anything spelt out,
encoded, cut by line breaks or inside a picture. Invariant: pure, and nothing but a match changes.
"""

from nbchat.redaction.messages import redacted_json, redacted_message
from nbchat.redaction.personal import PERSONAL
from nbchat.redaction.redactor import Redactor
from nbchat.redaction.rules import Rule
from nbchat.redaction.secrets import SECRETS

__all__ = ["PERSONAL", "SECRETS", "Redactor", "Rule", "redacted_json", "redacted_message"]
