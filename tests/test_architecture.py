"""The house rules, read off the source itself: layers, sizes, words, and where SQL may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nbchat"

# lowest first: a room imports itself and rooms of lower rows, never its own row or a higher one
LAYERS = [
    {"errors"},
    {"messages", "pictures"},
    {"events", "exchange"},
    {"tools", "render", "prices", "local", "redaction", "hooks"},
    {"wires", "variables"},
    {"providers"},
    {"http", "store"},
    {"engine"},
    {"default_model", "options", "analytics", "export", "attachments"},
    {"asking"},
    {"chosen"},
    {"branching"},
    {"chat", "stores", "middleware"},
    {"agents"},
    {"cli", "display", "testing", "widget"},
    {"magics"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
FREE = {"__init__", "__main__"}
ONLY = {"analytics": {"store", "errors"}}

FILE_LINES = 500
FUNCTION_LINES = 60
CHAT_METHODS = 40
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}

SQL_ROOMS = {"store", "analytics"}
SQL = re.compile(
    r"\s*(select\s.*\bfrom\b|select\s+\S+$|from\s+[\"{]|insert\s+into\b|update\s+\S+\s+set\b|"
    r"delete\s+from\b|(create|alter|drop)\s+(or\s+replace\s+)?(table|view|index|macro|schema)\b|"
    r"(attach|detach|pragma|copy|begin)\s+\S+(\s+as\s+\S+)?$|with\s+\S+\s+as\s*\()",
    re.IGNORECASE | re.DOTALL,
)
TABLE_PLACE = re.compile(
    r"""\b(?:from|join|into|update|(?:table|view)(?:\s+if\s+not\s+exists)?+|comment\s+on\s+column)
    \s+(?!["({$])(?P<name>\w+)(?!\w*\s*\()""",
    re.IGNORECASE | re.VERBOSE,
)

MODULES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Every module that is imported anywhere in a file, functions and TYPE_CHECKING included."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            yield from (str(given.value) for given in node.args if isinstance(given, ast.Constant))


def rooms_imported(path: Path) -> set[str]:
    inside = (module.split(".") for module in imported(path) if module.startswith("nbchat."))
    return {parts[1] for parts in inside if not parts[1].startswith("__")}


def strings_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a file but its docstrings; what an f-string puts in is `{}`."""
    tree = tree_of(path)
    passed_over = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            passed_over |= {id(value) for value in node.values}
            yield (
                node.lineno,
                "".join(
                    str(value.value) if isinstance(value, ast.Constant) else "{}"
                    for value in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and id(node) not in passed_over:
            yield node.lineno, str(node.value)


def public_parts(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes of a module, and public methods that override nothing."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef) and not node.bases:
                yield from methods_of(node)


def methods_of(node: ast.ClassDef) -> list[Function]:
    """The public methods of a class."""
    methods = [method for method in node.body if isinstance(method, Function)]
    return [method for method in methods if not method.name.startswith("_")]


def test_every_room_has_a_place_in_the_table():
    rooms = {room_of(path) for path in MODULES}

    assert rooms == set(LEVEL) | FREE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_lower_ones(path):
    room = room_of(path)
    if room in FREE:
        return

    higher = {
        other
        for other in rooms_imported(path) - {room}
        if other not in LEVEL or LEVEL[other] >= LEVEL[room]
    }

    assert higher == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_analytics_know_the_store_and_errors_only(path):
    room = room_of(path)

    assert rooms_imported(path) <= ONLY.get(room, set(LEVEL)) | {room}


def test_only_one_module_imports_httpx():
    importers = [
        name_of(path)
        for path in MODULES
        if any(module.partition(".")[0].startswith("httpx") for module in imported(path))
    ]

    assert importers == ["nbchat/http.py"]


def test_only_the_store_imports_duckdb():
    importers = {
        room_of(path)
        for path in MODULES
        if any(module.partition(".")[0] in ("duckdb", "_duckdb") for module in imported(path))
    }

    assert importers == {"store"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sql_stands_only_in_the_store_and_in_questions(path):
    if room_of(path) in SQL_ROOMS:
        return

    found = [f"{line}: {text:.60}" for line, text in strings_of(path) if SQL.match(text)]

    assert found == []


def test_the_rule_about_sql_sees_the_stores_own():
    seen = {
        path.name
        for path in MODULES
        if room_of(path) == "store" and any(SQL.match(text) for _, text in strings_of(path))
    }

    assert {"turns.py", "chats.py", "schema.py"} <= seen


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sql_in_python_quotes_every_table(path):
    if room_of(path) not in SQL_ROOMS:
        return

    unquoted = [
        f"{line}: {match['name']}"
        for line, text in strings_of(path)
        if SQL.match(text)
        for match in TABLE_PLACE.finditer(text)
    ]

    assert unquoted == []


@pytest.mark.parametrize(
    "path", [ROOT / "schema.sql", *sorted(PACKAGE.rglob("*.sql"))], ids=name_of
)
def test_sql_files_quote_every_table(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    statements = "\n".join(re.sub(r"--.*|'(?:[^']|'')*'", "", line) for line in lines)

    unquoted = [match["name"] for match in TABLE_PLACE.finditer(statements)]

    assert unquoted == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_stays_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_fits_a_screen(path):
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree_of(path))
        if isinstance(node, Function)
    }

    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_a_chat_has_a_surface_that_can_be_learned():
    classes = [node for node in tree_of(PACKAGE / "chat.py").body if isinstance(node, ast.ClassDef)]
    chat = next(node for node in classes if node.name == "Chat")

    assert 0 < len(methods_of(chat)) <= CHAT_METHODS


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_lives_in_it(path):
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_public_says_what_it_gives(path):
    silent = [node.name for node in public_parts(tree_of(path)) if not ast.get_docstring(node)]

    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_has_a_vague_name(path):
    words = {part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts}

    assert words & VAGUE == set()


def test_no_public_name_is_a_module_too():
    tree = tree_of(PACKAGE / "__init__.py")
    homes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOMES"
    )

    assert set(homes) & {room_of(path) for path in MODULES} == set()


def test_no_import_of_the_store_hides_one_of_its_modules():
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree_of(PACKAGE / "store" / "__init__.py"))
        if isinstance(node, ast.ImportFrom) and node.module != "nbchat.store"
        for alias in node.names
    }

    assert imported & {path.stem for path in (PACKAGE / "store").glob("*.py")} == set()
