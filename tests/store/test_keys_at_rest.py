"""Keys never reach the file, from the first write of a process on, nor a chat's own attributes."""

import pytest

import nbchat

KEY = "sk-canary-0123456789abcdef"
FIRST_WRITES = """
    import sys, nbchat
    key = "sk-canary-0123456789abcdef"
    chat = nbchat.create_chat(
        "anthropic/claude-haiku-4-5", store=sys.argv[1], name=f"n {key}", instructions=f"i {key}",
        metadata={"k": key}, params={"p": key}, **eval(sys.argv[2]),
    )
    chat.rename(f"r {key}").with_instructions(f"more {key}").with_params(q=key)
    chat.update_metadata({"m": key})
    chat.store.sql("alter table chats add column note varchar", write=True)
    nbchat.create_chat("function/x", store=sys.argv[1], columns={"note": key})
    loaded = nbchat.load_chat(chat.id, store=sys.argv[1])
    for shown in (chat, loaded):
        said = repr(shown) + str([shown.name, shown.instructions, shown.metadata])
        assert key not in said, said
        assert "[key]" in said
"""


@pytest.mark.parametrize("given", ["in the environment", "as api_key"])
def test_a_key_is_not_written_even_before_the_first_turn(path, start, monkeypatch, given):
    if given == "in the environment":
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    options = "{}" if given == "in the environment" else f"{{'api_key': {KEY!r}}}"

    out, err = start(FIRST_WRITES, path, options).communicate(timeout=60)

    assert (out, err) == ("", "")
    for file in path.parent.iterdir():
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file.name
    assert nbchat.sql("select note from chats where note is not null", store=path)[
        "note"
    ].tolist() == ["[key]"]
