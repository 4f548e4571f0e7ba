"""A failing answer becomes the right kind of error, whatever shape its body has."""

import json
import re
from typing import Any

import pytest
from wire_recordings import recordings

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
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.openai_chat import OpenAIChat

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()


def error_of(status: int, body: Any = b"", **headers: str) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = {
        type(error): error
        for wire in (CHAT, MESSAGES)
        for error in [wire.parse_error(status, named, raw)]
    }
    assert len(found) == 1
    return next(iter(found.values()))


def openai(message: str, code: Any = None, type: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def anthropic(type: str, message: str, **rest: Any) -> Any:
    return {"type": "error", "error": {"type": type, "message": message, **rest}, "request_id": "r"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, openai("Unsupported value: 'stop'", "unsupported_value"), BadRequest, "Unsupported"),
        (400, openai("too long", "context_length_exceeded"), ContextTooLong, "too long"),
        (
            400,
            anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000"),
            ContextTooLong,
            "prompt",
        ),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "request (2009 tokens) exceeds the available "
                    "context size (512 tokens)",
                    "type": "exceed_context_size_error",
                }
            },
            ContextTooLong,
            "2009 tokens",
        ),
        (
            413,
            anthropic("request_too_large", "Request exceeds the maximum size"),
            BadRequest,
            "max",
        ),
        (
            422,
            {"detail": [{"loc": ["body", "x"], "msg": "field required"}]},
            BadRequest,
            "required",
        ),
        (401, {"detail": "Unauthorized"}, AuthFailed, "Unauthorized"),
        (401, {"message": "Unauthorized", "request_id": "abc"}, AuthFailed, "Unauthorized"),
        (403, anthropic("permission_error", "not yours"), AuthFailed, "not yours"),
        (
            400,
            {
                "code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: xa***. Get one at the console.",
            },
            AuthFailed,
            "Incorrect API key",
        ),
        (
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": "API key not valid. Please pass a valid API key.",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
            AuthFailed,
            "not valid",
        ),
        (
            400,
            {"code": "Client specified an invalid argument", "error": "Model not found: grok-9"},
            UnknownModel,
            "grok-9",
        ),
        (400, openai("The model `x` does not exist", "model_not_found"), UnknownModel, "`x`"),
        (404, anthropic("not_found_error", "model: claude-9"), UnknownModel, "claude-9"),
        (404, {"error": "model 'x' not found, try pulling it first"}, UnknownModel, "pulling"),
        (
            402,
            {"error": {"code": 402, "message": "Insufficient credits"}},
            QuotaExceeded,
            "credits",
        ),
        (
            429,
            openai(
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
                "insufficient_quota",
            ),
            QuotaExceeded,
            "quota",
        ),
        (
            429,
            anthropic(
                "rate_limit_error", "limit", details={"error_code": "enforced_spend_limit_reached"}
            ),
            QuotaExceeded,
            "limit",
        ),
        (
            400,
            anthropic("invalid_request_error", "Your credit balance is too low to access the API."),
            QuotaExceeded,
            "credit",
        ),
        (
            429,
            {
                "error": {
                    "code": 429,
                    "status": "RESOURCE_EXHAUSTED",
                    "message": "You exceeded your "
                    "current quota, please check your plan and billing details.",
                    "details": [{"retryDelay": "25s"}],
                }
            },
            RateLimited,
            "quota",
        ),
        (429, anthropic("rate_limit_error", "slow down"), RateLimited, "slow down"),
        (
            429,
            {
                "object": "error",
                "message": "Requests rate limit exceeded",
                "type": "rate_limited",
                "code": "1300",
            },
            RateLimited,
            "Requests rate",
        ),
        (
            429,
            {
                "error": {
                    "code": 429,
                    "message": "Provider returned error",
                    "metadata": {"raw": "model is temporarily rate-limited upstream"},
                }
            },
            RateLimited,
            "upstream",
        ),
        (408, b"", ServerError, "nothing more was said"),
        (409, anthropic("conflict_error", "again"), ServerError, "again"),
        (498, openai("capacity exceeded"), ServerError, "capacity"),
        (500, b"Internal Server Error", ServerError, "Internal"),
        (
            502,
            b"<html><head><title>502 Bad\n Gateway</title></head></html>",
            ServerError,
            r"HTML page \(502 Bad Gateway\)",
        ),
        (
            503,
            {"error": {"message": "loading model", "type": "unavailable_error", "code": 503}},
            ServerError,
            "loading",
        ),
        (529, anthropic("overloaded_error", "Overloaded"), ServerError, "Overloaded"),
        (418, b'"short"', BadRequest, "short"),
        (302, b"", ProviderError, "nothing more"),
    ],
)
def test_each_shape_of_error_has_its_kind(
    status: int, body: Any, kind: type[ProviderError], words: str
) -> None:
    error = error_of(status, body)
    assert type(error) is kind
    assert error.status == status
    with pytest.raises(kind, match=f"(?s)The provider answered {status}: .*{words}"):
        raise error


def test_retryable_is_what_waiting_may_cure() -> None:
    assert [error_of(status).retryable for status in (408, 409, 425, 429, 498, 500, 503, 529)] == [
        True
    ] * 8
    assert [error_of(status).retryable for status in (400, 401, 402, 403, 404, 413, 422)] == [
        False
    ] * 7


def test_the_providers_own_advice_is_obeyed() -> None:
    assert not error_of(529, x_should_retry="false").retryable
    assert error_of(400, x_should_retry="true").retryable
    assert not error_of(401, x_should_retry="true").retryable


@pytest.mark.parametrize(
    "text",
    [
        "you may need to provide the mmproj",
        "tools param requires --jinja flag",
        "Cannot use custom grammar constraints with tools.",
        "output does not match the expected format",
    ],
)
def test_a_local_servers_permanent_fault_is_not_retried(text: str) -> None:
    error = error_of(500, {"error": {"code": 500, "message": text, "type": "server_error"}})
    assert type(error) is ServerError
    assert not error.retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "1", "retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "soon"}, None),
        ({"Retry_After": "2"}, 2.0),
        (
            {
                "retry_after": "Mon, 23 Nov 2026 10:00:30 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        (
            {
                "retry_after": "Mon, 23 Nov 2026 09:00:00 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            0.0,
        ),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert error_of(429, **headers).retry_after_s == seconds


def test_the_wait_may_stand_in_the_body() -> None:
    body = {"error": {"code": 429, "message": "x", "details": [{"retryDelay": "25.5s"}]}}
    assert error_of(429, body).retry_after_s == 25.5


def test_the_request_id_comes_from_header_or_body() -> None:
    assert error_of(500, request_id="a").request_id == "a"
    assert error_of(500, x_request_id="b").request_id == "b"
    assert error_of(500, anthropic("api_error", "x")).request_id == "r"


def test_a_long_body_is_kept_and_quoted_in_part() -> None:
    error = error_of(500, b"x" * 9_000)
    assert len(str(error)) < 600
    assert error.body == "x" * 4_000


RECORDED = [recording for recording in recordings() if recording.status != 200]


@pytest.mark.parametrize("recording", RECORDED, ids=lambda recording: recording.id)
def test_recorded_errors_quote_the_provider(recording: Any) -> None:
    wire = CHAT if recording.endpoint == "chat" else MESSAGES
    error = wire.parse_error(recording.status, dict(recording.headers), recording.body)
    said = str(error).removeprefix(f"The provider answered {recording.status}: ")
    words = re.findall("[A-Za-z]{3,}", said)
    assert len(words) >= 2
    assert all(word in recording.body.decode() for word in words)
    assert error.body == recording.body.decode()[:4_000]
