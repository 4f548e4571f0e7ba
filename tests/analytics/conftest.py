"""One store of each kind, in memory, for all questions."""

import pytest
import seeded

import nbchat


@pytest.fixture(scope="session")
def stores():
    """Every kind of store by name."""
    opened = {name: nbchat.open_store(":memory:") for name in seeded.SEEDS}
    for name, seed in seeded.SEEDS.items():
        seed(opened[name])
    yield opened
    for store in opened.values():
        store.close()


@pytest.fixture(scope="session")
def mixed(stores):
    """The store with a bit of everything."""
    return stores["mixed"]
