"""Words for the model out of docstrings, in the Google, NumPy or Sphinx style.

What stands beside a type (`Annotated`, `Field`) is never replaced by a docstring.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, get_args, get_type_hints

from docstring_parser import parse
from pydantic import BaseModel
from typing_extensions import is_typeddict  # Python's own knows only its own


@dataclass(frozen=True, slots=True)
class Words:
    """What a docstring says of the whole, and of each parameter or attribute."""

    whole: str
    each: Mapping[str, str]


def words_of(docstring: str | None) -> Words:
    """The words of a docstring, '' and none for no docstring."""
    parsed = parse(inspect.cleandoc(docstring or ""))
    paragraphs = (parsed.short_description, parsed.long_description)
    each = {param.arg_name: param.description for param in parsed.params if param.description}
    return Words("\n\n".join(filter(None, paragraphs)), each)


def words_about(thing: Any) -> Words:
    """The words of a function or an object; a method may have them from a class above."""
    return words_of(inspect.getdoc(thing))


def add_words(schema: dict[str, Any], hints: Iterable[Any]) -> None:
    """Describe the fields of nested classes by the docstrings of these, where nothing else does."""
    definitions = schema.get("$defs", {})
    if not definitions:
        return
    for kind in dict.fromkeys(_classes_in(hints)):
        definition = definitions.get(kind.__name__)
        if definition is not None and kind.__doc__:
            describe_fields(definition, kind)


def describe_fields(definition: dict[str, Any], kind: type) -> None:
    """Describe a class's fields in its schema; its own description then leaves them out."""
    words = words_of(kind.__doc__)
    properties = definition.get("properties", {})
    for name, text in words.each.items():
        described = properties.get(_outside_name(kind, name))
        if described is not None:
            described.setdefault("description", text)
    if words.each and "description" in definition:
        definition["description"] = words.whole
        if not words.whole:
            del definition["description"]


def _outside_name(kind: type, name: str) -> str:
    field = kind.model_fields.get(name) if issubclass(kind, BaseModel) else None
    alias = field.validation_alias if field is not None else None
    return alias if isinstance(alias, str) else name


def _classes_in(hints: Iterable[Any]) -> Iterator[type]:
    """The classes with fields that these types are made of, each once."""
    waiting, seen = [*hints], set[int]()
    while waiting:
        hint = waiting.pop()
        if id(hint) in seen:
            continue
        seen.add(id(hint))
        waiting += [arg for arg in get_args(hint) if not isinstance(arg, str)]
        if isinstance(hint, type) and _has_fields(hint):
            yield hint
            waiting += _field_hints(hint)


def _has_fields(kind: type) -> bool:
    return issubclass(kind, BaseModel) or is_dataclass(kind) or is_typeddict(kind)


def _field_hints(kind: type) -> list[Any]:
    if issubclass(kind, BaseModel):
        return [field.annotation for field in kind.model_fields.values()]
    try:
        return [*get_type_hints(kind).values()]
    except NameError:  # a type that only pydantic found
        return []
