"""Secrets by their shape: keys with a known prefix, tokens, private keys, passwords in place.

Invariant: no word alone makes a secret; a value has to look like one. The order counts:
what an earlier rule masks, no later one sees.
"""

import base64
import json
import re

from nbchat.redaction.rules import END, START, Rule, has, has_word, looks_random, mixes

BASE64_RUN = re.compile(r"[A-Za-z0-9+/=]{32,}")
PLACEHOLDER = re.compile(r"[$<{%].*|[*xX.]+|(?i:your|my)[_-].*", re.DOTALL)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

# the prefix, and what follows it: long enough that no word or name is taken for a key
EXACT_KEYS = (
    ("AIza", r"[\w-]{35}"),  # Google
    ("AKIA", r"[A-Z0-9]{16}"),  # AWS
    ("ASIA", r"[A-Z0-9]{16}"),
    ("r8_", r"[A-Za-z0-9]{37,40}"),  # Replicate
    ("github_pat_", r"\w{40,255}"),
    ("npm_", r"[A-Za-z0-9]{36}"),
    ("pypi-AgE", r"[\w-]{50,}+"),
    ("GOCSPX-", r"[\w-]{28}"),  # Google OAuth client
    ("ya29.", r"[\w-]{20,}+"),
    ("SG.", r"[\w-]{22}\.[\w-]{43}"),  # SendGrid
    ("sk-lf-", UUID),  # Langfuse
    ("AGE-SECRET-KEY-1", r"[A-Z0-9]{58}"),
    ("dop_v1_", r"[0-9a-f]{64}"),  # DigitalOcean
    ("dapi", r"[0-9a-f]{32}(?:-\d)?"),  # Databricks
)
# the same, where only a run that mixes letters and digits tells a key from a name
RANDOM_KEYS = (
    ("sk-", r"[\w-]{20,}+"),  # OpenAI, Anthropic, OpenRouter, DeepSeek
    ("csk-", r"[\w-]{40,}+"),  # Cerebras
    ("gsk_", r"[A-Za-z0-9]{40,}+"),  # Groq
    ("xai-", r"[A-Za-z0-9]{40,}+"),
    ("hf_", r"[A-Za-z0-9]{30,}+"),  # Hugging Face
    ("pplx-", r"[A-Za-z0-9]{40,}+"),  # Perplexity
    ("nvapi-", r"[\w-]{40,}+"),  # NVIDIA
    ("tvly-", r"[\w-]{24,}+"),  # Tavily
    ("lsv2_", r"(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),  # LangSmith
    ("ghp_", r"[A-Za-z0-9]{36,}+"),
    ("gho_", r"[A-Za-z0-9]{36,}+"),
    ("ghu_", r"[A-Za-z0-9]{36,}+"),
    ("ghs_", r"[A-Za-z0-9]{36,}+"),
    ("ghr_", r"[A-Za-z0-9]{36,}+"),
    ("glpat-", r"[\w-]{20,}+"),  # GitLab
    ("sk_live_", r"[A-Za-z0-9]{16,}+"),  # Stripe
    ("rk_live_", r"[A-Za-z0-9]{16,}+"),
    ("sk_test_", r"[A-Za-z0-9]{16,}+"),
    ("rk_test_", r"[A-Za-z0-9]{16,}+"),
    ("whsec_", r"[A-Za-z0-9+/]{24,}+=*+"),
    ("xapp-", r"\d-[A-Za-z0-9-]{20,}+"),  # Slack
    ("hvs.", r"[\w-]{24,}+"),  # Vault
    ("shpat_", r"[0-9a-f]{32}"),  # Shopify
    ("dckr_pat_", r"[\w-]{24,}+"),
    ("lin_api_", r"[A-Za-z0-9]{32,}+"),
    ("ntn_", r"[A-Za-z0-9]{40,}+"),  # Notion
    ("glsa_", r"[A-Za-z0-9]{32}_[0-9a-f]{8}"),  # Grafana
)


def _is_private_key(block: str) -> bool:
    return BASE64_RUN.search(block) is not None


def _is_jwt(token: str) -> bool:
    header = token.partition(".")[0]
    try:
        value = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "alg" in value


def _is_filled_in(value: str) -> bool:
    return PLACEHOLDER.fullmatch(value) is None


def _is_token(value: str) -> bool:
    return _is_filled_in(value) and (mixes(value) or _is_name_and_password(value))


def _is_name_and_password(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value, validate=True)
    except ValueError:
        return False


def _is_strong(value: str) -> bool:
    """Whether it has signs of three kinds: nobody writes a word or a name that way."""
    kinds = (str.islower, str.isupper, str.isdigit, lambda sign: not sign.isalnum())
    return _is_filled_in(value) and sum(any(map(kind, value)) for kind in kinds) >= 3


def _key(prefix: str, rest: str) -> re.Pattern[str]:
    return re.compile(START + re.escape(prefix) + rest + END, re.ASCII)


PRIVATE_KEY = r"(?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
LINE_END = r"(?:\s|\\[nrt])"

SECRETS: tuple[Rule, ...] = (
    Rule(
        "private key",
        re.compile(
            rf"-----BEGIN {PRIVATE_KEY}(?:(?:[^-]|-(?!----))*+-----END {PRIVATE_KEY}"
            # one whose end was cut off
            rf"|(?:{LINE_END}*+[A-Za-z0-9+/=]{{32,}}+)++)"
        ),
        _is_private_key,
        has("PRIVATE KEY"),
    ),
    Rule(
        "token",
        re.compile(
            START + r"(?<![_-])eyJ[\w-]{8,}+"
            r"(?:\.[\w-]{2,}+(?:(?:\.[\w-]++){1,3}|\.)|\.(?:\.[\w-]{2,}+){3})",
            re.ASCII,
        ),
        _is_jwt,
        has("eyJ"),
    ),
    Rule(
        "api key",
        re.compile(
            r"(?:(?:AKIA|ASIA)[A-Z0-9]{16}[^A-Za-z0-9]{1,4}|"
            r"(?i:secret_?access_?key|aws_?secret_?key)[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}[\"'\\]{0,3})"
            r"(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
            re.ASCII,
        ),
        mixes,
        has_word("akia", "asia", "secret"),
    ),
    *(Rule("api key", _key(*key), None, has(key[0])) for key in EXACT_KEYS),
    *(Rule("api key", _key(*key), looks_random, has(key[0])) for key in RANDOM_KEYS),
    Rule(
        "api key",
        re.compile(START + r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{16,}+"),
        mixes,
        has("xox"),
    ),
    Rule(
        "api key",
        # Telegram, Azure's client secrets
        re.compile(
            rf"{START}(?:\d{{8,10}}:AA[\w-]{{33}}|\w[\w.~-]{{2}}8Q~[\w.~-]{{31,34}})(?![\w-]|[.~]\w)"
        ),
        None,
        has(":AA", "8Q~"),
    ),
    Rule(
        "api key",
        re.compile(r"AccountKey=(?P<value>[A-Za-z0-9+/]{86}==)"),  # Azure storage
        None,
        has("AccountKey="),
    ),
    Rule(
        "webhook",
        re.compile(
            r"hooks\.slack\.com/(?:services|workflows|triggers)/"
            r"(?P<value>[A-Z0-9]{8,}+/[A-Z0-9]{8,}+/\w{16,}+)"
        ),
        None,
        has("hooks.slack.com"),
    ),
    Rule(
        "webhook",
        re.compile(r"discord(?:app)?\.com/api/webhooks/(?P<value>\d{17,20}/[\w-]{60,}+)"),
        None,
        has("/api/webhooks/"),
    ),
    Rule(
        "token",
        re.compile(
            r"(?i:authorization)[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}[\"'\\]{0,3}"
            r"(?i:bearer|basic|token|bot)\s{1,3}(?P<value>[\w.~+/-]{8,}+=*+)",
            re.ASCII,
        ),
        _is_token,
        has_word("authorization"),
    ),
    Rule(
        "token",
        re.compile(START + r"(?i:bearer)\s{1,3}(?P<value>[\w.~+/-]{20,}+=*+)", re.ASCII),
        looks_random,
        has_word("bearer"),
    ),
    Rule(
        "api key",
        re.compile(
            r"(?i:api[_-]?key|secret[_-]?key|client[_-]?secret|(?:auth|access|private)[_-]?token)"
            r"[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}[\"'\\]{0,3}(?P<value>[\w-]{20,}+)(?![\w.(\[])",
            re.ASCII,
        ),
        looks_random,
        has_word("key", "secret", "token"),
    ),
    Rule(
        "password",
        re.compile(
            r"://[^\s:/?#@\"'<>]{0,128}+:(?P<value>[^\s/?#\"'<>]{1,256})@(?=[A-Za-z0-9\[_])"
        ),
        _is_filled_in,
        has("://"),
    ),
    Rule(
        "password",
        re.compile(
            r"(?:;(?i:password|pwd)=|PGPASSWORD=|MYSQL_PWD=|"
            r"\b(?:host|port|user|dbname)=[^\s\"']{1,128} password=)"
            r"(?P<value>[^\s;\"'\\]{4,128})(?![^\s;\"'\\])",
            re.ASCII,
        ),
        _is_filled_in,
        has_word("pwd=", "password="),
    ),
    Rule(
        "password",
        re.compile(
            r"(?i:password|passwd|pwd)[\"']?\s{0,2}[:=]\s{0,2}"
            r"(?P<quote>[\"'])(?P<value>[^\"'\s\\]{8,128})(?P=quote)",
            re.ASCII,
        ),
        _is_strong,
        has_word("passw", "pwd"),
    ),
)
