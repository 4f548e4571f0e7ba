"""Parts to JSON and back: nothing is lost, and nothing that says nothing is written."""

import json

from hypothesis import given
from hypothesis import strategies as st

from nbchat.messages import Image, ToolResult, attached_in, part_from_json, part_to_json

SIZES = st.none() | st.integers(1, 20_000)
IMAGES = st.builds(
    Image, st.text(), st.sampled_from(["image/png", "image/webp"]), st.text(), SIZES, SIZES,
    st.integers(1, 9),
)  # fmt: skip
RESULTS = st.builds(
    ToolResult, st.text(), st.text(), st.text(), st.booleans(), st.integers(1, 9),
    st.integers(1, 9), st.none() | st.just(True), st.none() | st.just(True),
    st.lists(IMAGES, max_size=3).map(tuple),
)  # fmt: skip


@given(RESULTS)
def test_a_result_with_its_pictures_comes_back_from_json(result: ToolResult) -> None:
    written = part_to_json(result)

    assert part_from_json(json.loads(json.dumps(written))) == result
    assert tuple(attached_in([result])) == result.images


def test_a_result_without_pictures_is_written_as_it_always_was() -> None:
    assert part_to_json(ToolResult("one", "c1", "plot")) == {
        "kind": "tool_result", "content": "one", "tool_call_id": "c1", "name": "plot",
        "is_error": False, "seq": 1, "round": 1,
    }  # fmt: skip
