"""What a wire makes of pictures that tools returned, and that what does not go is counted."""

import base64

import pytest

from nbchat.exchange import Request
from nbchat.messages import File, Image, Message, Part, ToolCall, ToolResult
from nbchat.wires import Wire
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.anthropic_pictures import FEW, MOST_BYTES, MOST_PICTURES, PICTURE_BYTES
from nbchat.wires.grammar_chat import GrammarChat
from nbchat.wires.openai_chat import OpenAIChat

WORDS = "[image: PNG]"


def image(digest: str, width: int | None = 3) -> Image:
    return Image(digest, "image/png", "", width, 2)


def request_of(
    *results: ToolResult, held: dict[str, bytes], asked: tuple[Part, ...] = ()
) -> Request:
    user = Message("u", "c", "user", "draw", parts=asked)
    calls = [ToolCall("plot", {}, f"c{at}", round=at) for at, _ in enumerate(results, start=1)]
    told = [part for pair in zip(calls, results, strict=True) for part in pair]
    answer = Message("a", "c", "assistant", parts=tuple(told))
    return Request("p", "m", (user, answer), attachments=held)


def result(at: int, *images: Image, content: str = WORDS, is_error: bool = False) -> ToolResult:
    return ToolResult(content, f"c{at}", "plot", is_error, 1, at, images=images)


def blocks(request: Request) -> tuple[list[dict], dict[str, int]]:
    """The result blocks of a request to Anthropic, and what was dropped."""
    rendered = AnthropicMessages().render_request(request)
    told = [message["content"] for message in rendered.body["messages"]]
    return [
        block for content in told if isinstance(content, list) for block in content
        if block["type"] == "tool_result"
    ], dict(rendered.dropped)  # fmt: skip


def pictures(block: dict) -> list[bytes]:
    content = block.get("content", "")
    shown = [] if isinstance(content, str) else [b for b in content if b["type"] == "image"]
    return [base64.b64decode(block["source"]["data"]) for block in shown]


def test_anthropic_gets_the_words_and_then_the_pictures() -> None:
    request = request_of(result(1, image("i"), image("j")), held={"i": b"one", "j": b"two"})
    (block,), dropped = blocks(request)

    sources = [
        {"type": "base64", "media_type": "image/png", "data": data} for data in ("b25l", "dHdv")
    ]
    shown = [{"type": "image", "source": source} for source in sources]
    content = [{"type": "text", "text": WORDS}, *shown]
    assert block == {"type": "tool_result", "tool_use_id": "c1", "content": content}
    assert dropped == {}


@pytest.mark.parametrize("content", ["", " \n"])
def test_anthropic_gets_no_empty_text_beside_a_picture(content: str) -> None:
    (block,), _ = blocks(request_of(result(1, image("i"), content=content), held={"i": b"one"}))

    assert [part["type"] for part in block["content"]] == ["image"]


def test_a_result_without_pictures_is_plain_words() -> None:
    (block,), _ = blocks(request_of(result(1), held={}))

    assert block["content"] == WORDS


@pytest.mark.parametrize("held", [{}, {"i": b"one"}])
@pytest.mark.parametrize("wire", [OpenAIChat(), GrammarChat()])
def test_a_wire_whose_results_are_words_says_what_it_left_out(
    wire: Wire, held: dict[str, bytes]
) -> None:
    plain = wire.render_request(request_of(result(1), held={}))
    rendered = wire.render_request(request_of(result(1, image("i"), image("j")), held=held))

    assert rendered.body == plain.body
    assert (plain.dropped, rendered.dropped) == ({}, {"image": 2})


def test_a_picture_that_is_no_longer_stored_is_told_in_words() -> None:
    (block,), dropped = blocks(request_of(result(1, image("i"), image("j")), held={"j": b"two"}))

    assert (pictures(block), dropped) == ([b"two"], {"image": 1})
    (block,), dropped = blocks(request_of(result(1, image("i")), held={}))
    assert (block["content"], dropped) == (WORDS, {"image": 1})


@pytest.mark.parametrize(
    ("shown", "size"),
    [(image("i", 8_001), 3), (image("i", None), 3), (image("i"), PICTURE_BYTES + 1)],
    ids=["too wide", "cut off", "too large"],
)
def test_a_picture_that_anthropic_would_refuse_is_told_in_words(shown: Image, size: int) -> None:
    (block,), dropped = blocks(request_of(result(1, shown), held={"i": b"x" * size}))

    assert (block["content"], dropped) == (WORDS, {"image": 1})


def test_wide_pictures_go_as_long_as_there_are_few() -> None:
    def shown(count: int) -> tuple[int, dict[str, int]]:
        several = [result(at, image(str(at), 2_001)) for at in range(1, count + 1)]
        told, dropped = blocks(request_of(*several, held={str(at): b"x" for at in range(1, 30)}))
        return sum(len(pictures(block)) for block in told), dropped

    assert shown(FEW) == (FEW, {})
    assert shown(FEW + 1) == (0, {"image": FEW + 1})


def test_the_newest_go_where_not_all_do() -> None:
    several = [result(at, image(str(at))) for at in range(1, MOST_PICTURES + 6)]
    held = {str(at): b"%d" % at for at in range(1, MOST_PICTURES + 6)}
    told, dropped = blocks(request_of(*several, held=held))

    expected = [[]] * 5 + [[b"%d" % at] for at in range(6, MOST_PICTURES + 6)]
    assert [pictures(block) for block in told] == expected
    assert dropped == {"image": 5}


def test_what_a_user_attached_goes_first_and_results_get_the_room_that_is_left() -> None:
    size = PICTURE_BYTES
    held = {"u": b"u" * (MOST_BYTES - 2 * size), **{d: d.encode() * size for d in "abc"}}
    several = [result(at, image(digest)) for at, digest in enumerate("abc", start=1)]
    asked = (File("u", "application/pdf"),)
    told, dropped = blocks(request_of(*several, held=held, asked=asked))

    assert [len(pictures(block)) for block in told] == [0, 1, 1]
    assert dropped == {"image": 1}


def test_a_picture_that_returns_counts_each_time() -> None:
    several = [result(at, image("same")) for at in range(1, MOST_PICTURES + 2)]
    told, dropped = blocks(request_of(*several, held={"same": b"x"}))

    assert [pictures(block) for block in told] == [[], *[[b"x"]] * MOST_PICTURES]
    assert dropped == {"image": 1}
