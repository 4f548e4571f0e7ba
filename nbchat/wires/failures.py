"""What a provider says went wrong becomes one typed error.

Reads every shape of error body: objects, bare strings, flat ones, lists, HTML pages, nothing.
The same rules serve answers with a failing status and errors inside a stream of status 200.
Knows no provider's name; the engine adds it.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from nbchat.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    ServerError,
    UnknownModel,
)
from nbchat.messages import JSON

TEXT_LIMIT = 500
BODY_LIMIT = 4_000

CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|context_window_exceeded|prompt is too long"
    r"|maximum context length|exceeds? the (available |model'?s? )?context"
    r"|(context (size|length|window)|input|prompt)[^.]{0,40} exceed"
    r"|exceed[^.]{0,60}(context (size|length|window|limit))|too many tokens",
    re.I,
)
QUOTA = re.compile(
    r"insufficient_quota|insufficient[ _](balance|credits?|funds)|enforced_spend_limit|billing"
    r"|credit balance|spend(ing)?[ _]limit|out of credits|(any|more|enough) credits"
    r"|exceeded your current quota",
    re.I,
)
RETRY_SOON = re.compile(r"retry (in|after|shortly)|temporarily|retryDelay", re.I)
BAD_KEY = re.compile(
    r"invalid_api_key|api_key_invalid"
    r"|(incorrect|invalid|missing|expired|no|provide)[^.]{0,20} api[ _-]?key"
    r"|api[ _-]?key[^.]{0,30}(invalid|not valid|incorrect|expired|missing|required)",
    re.I,
)
NO_MODEL = re.compile(
    r"model_not_found|unknown_model|invalid_model\b"
    r"|models? [^.]{0,120}(does not exist|not found|is not available|no longer available)"
    r"|(unknown|invalid|no such) model|not a valid model",
    re.I,
)
# faults that engines on the reader's own machine answer as a 500 and will answer again
PERMANENT = re.compile(
    r"does not match the expected|mmproj|jinja|chat template|grammar|context (size|length|window)|"
    r"does not support|not supported|unsupported",
    re.I,
)

STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "tool_use_failed": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
CONTEXT_STATUSES = {400, 413, 422, 500}
QUOTA_STATUSES = {400, 403, 429}
WAITABLE = {408, 409, 425, 498}  # the last is Groq's: no capacity left


@dataclass(frozen=True, slots=True)
class Failure:
    """An error body, read: the provider's words, its codes in one string, what it adds."""

    text: str
    codes: str = ""
    status: int | None = None
    request_id: str | None = None
    retry_after_s: float | None = None


def response_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The typed error for an answer with a failing status."""
    lower = {name.lower(): value for name, value in headers.items()}
    text = body.decode("utf-8", "replace")
    failure = read_failure(text)
    kind = kind_of(status, failure)
    error = kind(
        f"The provider answered {status}: {failure.text}",
        status=status,
        body=text[:BODY_LIMIT],
        request_id=lower.get("request-id") or lower.get("x-request-id") or failure.request_id,
        retry_after_s=longest(retry_after_s(lower), failure.retry_after_s),
    )
    error.retryable = is_retryable(error, failure, lower.get("x-should-retry", ""))
    return error


def stream_error(value: JSON) -> ProviderError:
    """The typed error for an event inside a stream that had begun well."""
    failure = read_value(value)
    status = failure.status
    kind = ServerError if status is None else kind_of(status, failure)
    if status is None and CONTEXT.search(f"{failure.codes} {failure.text}"):
        kind = ContextTooLong
    error = kind(
        f"The provider reported an error in its answer: {failure.text}",
        status=status,
        body=json.dumps(value, ensure_ascii=False)[:BODY_LIMIT],
        request_id=failure.request_id,
        retry_after_s=failure.retry_after_s,
    )
    error.retryable = is_retryable(error, failure, "")
    return error


def kind_of(status: int, failure: Failure) -> type[ProviderError]:
    """The class of error that a status and the provider's words amount to."""
    words = f"{failure.codes} {failure.text}"
    refused = 400 <= status < 500
    by_words: list[tuple[type[ProviderError], bool]] = [
        (ContextTooLong, status in CONTEXT_STATUSES and bool(CONTEXT.search(words))),
        (QuotaExceeded, status == 402 or (status in QUOTA_STATUSES and out_of_quota(failure))),
        (AuthFailed, status in {401, 403} or (status == 400 and bool(BAD_KEY.search(words)))),
        (UnknownModel, status == 404 or (status in {400, 422} and bool(NO_MODEL.search(words)))),
        (RateLimited, status == 429),
        (ServerError, status in WAITABLE or status >= 500),
        (BadRequest, refused),
    ]
    return next((kind for kind, holds in by_words if holds), ProviderError)


def out_of_quota(failure: Failure) -> bool:
    """Whether waiting will not help; some say "quota" and mean a minute."""
    if QUOTA.search(failure.codes):
        return True
    soon = failure.retry_after_s is not None or RETRY_SOON.search(failure.text)
    return bool(QUOTA.search(failure.text)) and not soon


def is_retryable(error: ProviderError, failure: Failure, should_retry: str) -> bool:
    """The provider's own advice first; a local server's 500 may well be permanent."""
    if should_retry.lower() == "false":
        return False
    if should_retry.lower() == "true" and not isinstance(error, AuthFailed | QuotaExceeded):
        return True
    if error.status == 500 and PERMANENT.search(failure.text):
        return False
    return type(error).retryable


def read_failure(text: str) -> Failure:
    """An error body of any kind."""
    try:
        return read_value(json.loads(text))
    except (ValueError, RecursionError):
        pass
    if not text.strip():
        return Failure("nothing more was said.")
    if re.match(r"\s*<", text):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        page = " ".join(title[1].split()) if title else "no title"
        return Failure(f"an HTML page ({shorten(page)}), not the API.")
    return Failure(shorten(text))


def read_value(value: JSON) -> Failure:
    """An error in JSON, in any of the shapes that providers use."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), str(value))
    if not isinstance(value, dict):
        return Failure(shorten(str(value)))
    error = value.get("error")
    inner = error if isinstance(error, dict) else {**value, "message": message_of(value, error)}
    codes = " ".join(str(code) for code in codes_of(inner, value) if code is not None)
    request_id = value.get("request_id")
    return Failure(
        text=shorten(words_of(inner) or json.dumps(value, ensure_ascii=False)),
        codes=codes,
        status=status_of(inner, codes),
        request_id=request_id if isinstance(request_id, str) else None,
        retry_after_s=delay_in(inner),
    )


def message_of(value: Mapping[str, Any], error: JSON) -> JSON:
    """The words of an error that is flat: a string, a message, or a detail."""
    return error or value.get("message") or value.get("detail")


def words_of(error: Mapping[str, Any]) -> str:
    """The provider's sentence, with the upstream's when it only passes one on."""
    message = error.get("message")
    if isinstance(message, list | dict):
        message = json.dumps(message, ensure_ascii=False)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return ": ".join(str(item) for item in (message, raw) if item)


def codes_of(error: Mapping[str, Any], outer: Mapping[str, Any]) -> list[JSON]:
    """Everything in the body that names the kind of error."""
    details = error.get("details")
    extra = details.get("error_code") if isinstance(details, dict) else None
    outer_code = outer.get("code") if outer is not error else None
    return [error.get("type"), error.get("code"), error.get("status"), extra, outer_code]


def status_of(error: Mapping[str, Any], codes: str) -> int | None:
    """The status that the body itself states or implies."""
    for key in ("code", "status_code", "status"):
        number = str(error.get(key) or "")
        if re.fullmatch(r"[45]\d\d", number):
            return int(number)
    return next((STATUS_OF_TYPE[code] for code in codes.split() if code in STATUS_OF_TYPE), None)


def delay_in(error: Mapping[str, Any]) -> float | None:
    """How long Google's kind of body says to wait."""
    details = error.get("details")
    for item in details if isinstance(details, list) else []:
        delay = str(item.get("retryDelay") or "") if isinstance(item, dict) else ""
        if re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the headers say to wait; a date counts from the response's own."""
    seconds = [
        number(headers.get("retry-after-ms"), 1000.0),
        number(headers.get("retry-after"), 1.0),
    ]
    found = longest(*seconds)
    if found is not None or "retry-after" not in headers:
        return found
    try:
        until = parsedate_to_datetime(headers["retry-after"]).timestamp()
        sent = headers.get("date")
        now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
    except (ValueError, TypeError):
        return None
    return max(0.0, until - now)


def number(text: str | None, per_second: float) -> float | None:
    """A delay in seconds, or None when the text is no number."""
    if text is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return None
    return float(text) / per_second


def longest(*seconds: float | None) -> float | None:
    """The longest delay that is known."""
    return max((item for item in seconds if item is not None), default=None)


def shorten(text: str) -> str:
    """At most so much of the provider's text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1] + "…"
