"""The embedded engine, for real: llama.cpp with SmolLM2 in a child process.

Asserts structure, never wording: the model is tiny. Skipped, and said so, only where the
`local` extra is not installed.
"""

import json
import os
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from nbchat.errors import ConfigError, MissingExtra, ProviderError, UnknownModel
from nbchat.local import engine, weights
from nbchat.providers import find_provider

ROOT = Path(engine.__file__).parents[2]
MODEL = weights.DEFAULT_MODEL
WAIT_S = 60

linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits on Linux's pidfd")


@pytest.fixture(scope="module")
def model():
    """The pulled model's name; the weights are downloaded once for the whole machine."""
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not importable: install the `local` extra")
    weights.pull(MODEL)
    return MODEL


@pytest.fixture(scope="module")
def running(model):
    """An engine shared by the tests that only talk to it."""
    engines = engine.Engines()
    endpoint = engines.endpoint(model, engine.READY_WITHIN_S)
    yield engines.running[model], endpoint
    engines.close()


def post(endpoint: engine.Endpoint, key: str, **body: object) -> dict:
    request = urllib.request.Request(
        f"{endpoint.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.load(answer)


def say(endpoint: engine.Endpoint, text: str) -> dict:
    messages = [{"role": "user", "content": text}]
    return post(endpoint, endpoint.key, model=MODEL, messages=messages, max_tokens=8)


def script(code: str, **options: object) -> subprocess.Popen[str]:
    """A Python process of its own that runs the code and talks over pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_engine_answers_a_chat_completion(running):
    _, endpoint = running

    answer = say(endpoint, "Say hello.")

    assert answer["object"] == "chat.completion"
    assert answer["model"] == MODEL
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens"] > 0
    assert 1 <= answer["usage"]["completion_tokens"] <= 8


def test_the_engine_answers_nobody_without_its_key(running):
    _, endpoint = running

    with pytest.raises(urllib.error.HTTPError) as refused:
        post(endpoint, "guessed", model=MODEL, messages=[{"role": "user", "content": "hi"}])

    refused.value.close()
    assert refused.value.code == 401


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads the process's state in /proc")
def test_the_key_is_in_no_argument_environment_or_log(running):
    child, endpoint = running
    say(endpoint, "Say hello.")
    state = Path("/proc") / str(child.process.pid)

    told = [(state / name).read_bytes() for name in ("cmdline", "environ", "fd/2")]

    assert b"server.py" in told[0]
    assert not any(endpoint.key.encode() in text for text in told)
    assert endpoint.key not in repr(endpoint)


def test_the_engine_listens_on_the_loopback_interface_only(running):
    _, endpoint = running

    assert endpoint.base_url.startswith("http://127.0.0.1:")
    assert endpoint.base_url.endswith("/v1")


def test_threads_that_ask_at_once_share_one_engine(model):
    engines = engine.Engines()
    try:
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(engines.endpoint, model, WAIT_S) for _ in range(8)]
            found = {(task.result().base_url, task.result().key) for task in asked}
    finally:
        engines.close()

    assert len(found) == 1


def test_an_engine_that_died_is_replaced_at_the_next_call(model):
    engines = engine.Engines()
    try:
        first = engines.endpoint(model, WAIT_S)
        dead = engines.running[model].process
        dead.kill()
        dead.wait()

        second = engines.endpoint(model, WAIT_S)

        assert second.key != first.key
        assert say(second, "Say hello.")["choices"]
    finally:
        engines.close()


def test_a_closed_engine_is_gone(model):
    engines = engine.Engines()
    engines.endpoint(model, WAIT_S)
    process = engines.running[model].process

    engines.close()

    assert process.returncode == 0
    assert engines.running == {}


@linux
@pytest.mark.parametrize("end", ["kill -9", "exit"])
def test_the_engine_ends_with_its_parent(model, end):
    parent = script(
        "from nbchat.local import engine\n"
        f"engine.endpoint({model!r})\n"
        f"print(engine.ENGINES.running[{model!r}].process.pid, flush=True)\n"
        "input()\n"
    )
    with parent:
        child = os.pidfd_open(int(parent.stdout.readline()))
        alive_before = select.select([child], [], [], 0)[0] == []

        if end == "kill -9":
            parent.kill()
        else:
            parent.communicate("go\n")

        ended = select.select([child], [], [], WAIT_S)[0] == [child]
        os.close(child)

    assert alive_before
    assert ended
    assert parent.returncode == (-signal.SIGKILL if end == "kill -9" else 0)


@linux
def test_a_fork_has_an_engine_of_its_own_and_leaves_its_parents_alone(model):
    code = f"""
import os, sys
from nbchat.local import engine
mine = engine.endpoint({model!r})
fork = os.fork()
if fork == 0:
    theirs = engine.endpoint({model!r})
    print(theirs.base_url != mine.base_url, flush=True)
    engine.ENGINES.close()
    os._exit(0)
os.waitpid(fork, 0)
print(engine.endpoint({model!r}) == mine, engine.ENGINES.running[{model!r}].is_alive, flush=True)
"""
    with script(code) as parent:
        said = parent.communicate(timeout=WAIT_S)[0]

    assert said.splitlines() == ["True", "True True"]
    assert parent.returncode == 0


@linux
def test_a_fork_that_lives_on_does_not_keep_a_dead_parents_engine(model):
    code = f"""
import os, sys
from nbchat.local import engine
engine.endpoint({model!r})
if os.fork() == 0:
    sys.stdin.readline()
    os._exit(0)
print(engine.ENGINES.running[{model!r}].process.pid, flush=True)
os.waitpid(-1, 0)
"""
    parent = script(code)
    with parent:
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()

        ended = select.select([child], [], [], WAIT_S)[0] == [child]

        parent.stdin.write("go\n")
        os.close(child)

    assert ended


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")
def test_an_interrupted_cell_does_not_interrupt_the_engine(running):
    child, _ = running

    assert os.getpgid(child.process.pid) != os.getpgrp()


def test_missing_weights_name_the_command_that_gets_them(tmp_path, monkeypatch):
    pytest.importorskip("xllamacpp", reason="the `local` extra is not installed")
    monkeypatch.setenv("NBCHAT_MODELS", str(tmp_path))

    with pytest.raises(ConfigError, match=f"nbchat pull {MODEL}"):
        engine.endpoint(MODEL)


def test_a_missing_extra_names_its_installation(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # how Python marks what cannot be imported

    with pytest.raises(MissingExtra, match=r'pip install "nbchat\[local\]"'):
        engine.Engines().endpoint(MODEL, WAIT_S)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(UnknownModel, match=f"'gpt-9'.*{MODEL}"):
        engine.endpoint("gpt-9")


def test_damaged_weights_are_told_with_the_engines_last_words(tmp_path, monkeypatch):
    pytest.importorskip("xllamacpp", reason="the `local` extra is not installed")
    monkeypatch.setenv("NBCHAT_MODELS", str(tmp_path))
    with (tmp_path / f"{MODEL}.gguf").open("wb") as file:
        file.truncate(weights.MODELS[MODEL].size_bytes)

    with pytest.raises(ProviderError, match=r"ended with exit code 1; its last words: .*Failed"):
        engine.endpoint(MODEL)

    assert MODEL not in engine.ENGINES.running


def test_an_engine_that_is_not_ready_in_time_is_ended(model):
    engines = engine.Engines()

    with pytest.raises(ProviderError, match=r"was not ready within 0\.001 s and was ended"):
        engines.endpoint(model, 0.001)

    assert engines.running == {}


def test_the_local_provider_launches_the_engine_and_needs_no_key():
    provider = find_provider("local")

    assert provider.launch is engine.endpoint
    assert provider.default_model == MODEL
    assert provider.keys == ()
    assert provider.base_url is None
