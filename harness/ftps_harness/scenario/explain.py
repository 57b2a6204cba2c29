"""Why parsed TOML does not fit the tables of the format: every misfit, each with its fix.

msgspec decides whether a file fits, and stops at the first misfit; this module then walks the same types.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from ftps_harness.scenario.problems import Problem, did_you_mean, listed, shown, toml_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS: dict[object, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}

_MISSING = {
    "schema": 'missing: a scenario file says which format it is written in, "schema = 1"',
    "title": "missing: state in one line what this shows",
    "why": "missing: explain to a learner what is at stake and what to look at",
    "server": "missing: a scenario needs a [server] table",
    "step": "missing: a scenario needs at least one [[step]] table",
    "expect": "missing: a step needs a [step.expect] table with a verdict",
}
"""Sentences for missing keys that a table needs."""

_NOTES = {
    "inconclusive": "inconclusive means that the witnesses contradict each other: no scenario can expect it.",
    "contentCommitment": "RFC 5280 calls it nonRepudiation.",
}
"""Additional advice for particular wrong values."""


def explain(value: object, expected: Any, key: str = "") -> Iterator[Problem]:
    """Every way in which a value does not fit a type, in the order of the type's keys.

    Args:
        value: The file as parsed by `tomllib`, or a part of it.
        expected: A type of `tables`: a Struct, tuple, dict, Literal, union, or a plain type.
        key: The value's key.
    """
    options = [option for option in _options(expected) if option is not type(None)]
    found = [list(_misfits(value, option, key)) for option in options]
    if all(found):
        # The option of the value's own kind says most: the wrong item of a list, not "this is not a string".
        best = next((index for index, option in enumerate(options) if _same_kind(value, option)), None)
        yield from found[best] if best is not None else [_wrong_type(value, options, key)]


def unknown_key(key: str, name: str, known: Iterable[str]) -> Problem:
    """The problem of an unknown key in a table."""
    names = list(known)
    return Problem(toml_key(key, name), f"unknown key.{did_you_mean(name, names)} Known here: {listed(names)}")


def _options(expected: Any) -> tuple[Any, ...]:
    return get_args(expected) if get_origin(expected) in {Union, types.UnionType} else (expected,)


def _misfits(value: object, expected: Any, key: str) -> Iterator[Problem]:
    origin, arguments = get_origin(expected), get_args(expected)
    if expected in {Any, object}:
        return
    if not _same_kind(value, expected):
        yield _wrong_type(value, [expected], key)
    elif origin is Literal:
        yield from _not_one_of(value, arguments, key)
    elif origin is tuple:
        assert isinstance(value, list)
        for number, item in enumerate(value, start=1):
            yield from explain(item, arguments[0], f"{key}[{number}]")
    elif origin is dict:
        assert isinstance(value, dict)
        for name, item in value.items():
            yield from explain(item, arguments[1], toml_key(key, name))
    elif _is_struct(expected):
        assert isinstance(value, dict)
        yield from _table(value, expected, key)


def _table(value: dict[str, object], expected: type[msgspec.Struct], key: str) -> Iterator[Problem]:
    hints = get_type_hints(expected)
    fields = {field.name: field for field in msgspec.structs.fields(expected)}
    for name in value:
        if name not in fields:
            yield unknown_key(key, name, fields)
    for name, field in fields.items():
        if name in value:
            yield from explain(value[name], hints[name], toml_key(key, name))
        elif field.required:
            yield Problem(toml_key(key, name), _MISSING[name])


def _not_one_of(value: object, allowed: tuple[object, ...], key: str) -> Iterator[Problem]:
    if value not in allowed:
        note = _NOTES.get(str(value)) or did_you_mean(value, map(str, allowed)).strip()
        choice = ", ".join(shown(option) for option in allowed)
        yield Problem(key, f"unknown value {shown(value)}. {note}{' ' if note else ''}Allowed: {choice}")


def _same_kind(value: object, expected: Any) -> bool:
    """Whether the TOML type is right, whatever the content; true is not a number here (in Python it is)."""
    origin = get_origin(expected)
    if origin is Literal:
        return type(value) in {type(option) for option in get_args(expected)}
    if origin is tuple:
        return isinstance(value, list)
    if origin is dict or _is_struct(expected):
        return isinstance(value, dict)
    return type(value) is expected


def _wrong_type(value: object, options: list[Any], key: str) -> Problem:
    right = " or ".join(_word(option) for option in options)
    hint = ""
    if isinstance(value, dict) and get_origin(options[0]) is tuple and _is_struct(get_args(options[0])[0]):
        hint = f": write [[{key}]] with double brackets"
    given = _WORDS.get(type(value), "a date or time")
    detail = "" if isinstance(value, dict | list) else f" ({shown(value)})"
    return Problem(key, f"must be {right}, not {given}{detail}{hint}")


def _word(expected: Any) -> str:
    origin = get_origin(expected)
    if origin is Literal:
        return " or ".join(shown(option) for option in get_args(expected))
    if origin is tuple:
        (item, _) = get_args(expected)
        return "a list of tables" if _is_struct(item) else "a list of strings"
    return _WORDS.get(origin or expected, "a table")


def _is_struct(expected: Any) -> bool:
    return isinstance(expected, type) and issubclass(expected, msgspec.Struct)
