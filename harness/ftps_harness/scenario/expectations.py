"""Expected results of a step, by dialect and version: merge overrides into the table and check each result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec

from ftps_harness.scenario import patterns
from ftps_harness.scenario.explain import explain
from ftps_harness.scenario.model import Expect
from ftps_harness.scenario.problems import Problem, did_you_mean, listed, shown, toml_key
from ftps_harness.scenario.tables import DIALECTS, ExpectTable, Reason
from ftps_lab.conversion import convert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.scenario.model import Step
    from ftps_harness.words import Dialect

    Faults = Iterator[tuple[str, str]]  # pairs of key and sentence

_CIPHER = re.compile(r"[A-Z0-9][A-Z0-9_-]+")
VERSION_PREFIX = re.compile(r"^[0-9]+(\.[0-9]+)*$")

_FIELDS = ExpectTable.__struct_fields__

TLS_KEYS = ("tls", "cipher", "server_name")
"""Expectations about completed TLS handshakes."""

_SETS = ("exposed", "to", *TLS_KEYS)
"""Keys, besides `reason`, that are compared as sets."""


class Written(NamedTuple):
    """A [step.expect] table as written in the file: its own keys, and its overrides by dialect or version."""

    table: ExpectTable
    overrides: dict[str, ExpectTable]


def expectation(step: Step, dialect: Dialect, version: str) -> Expect:
    """The expected result of a step for one build of lftp.

    The override for its dialect replaces keys of the table, and the override for its version replaces keys of both. If
    several version prefixes match, only the longest counts: `4.8` matches 4.8 and 4.8.4, not 4.80.

    Args:
        step: The step.
        dialect: The dialect found by probing the binary.
        version: Such as ``4.9.2``.
    """
    fitting = [name for name in step.overrides if VERSION_PREFIX.fullmatch(name) and _fits(name, version)]
    names = [dialect, *sorted(fitting, key=len)[-1:]]
    return overlaid(step.expect, [step.overrides[name] for name in names if name in step.overrides])


def completed(table: ExpectTable) -> Expect:
    """A table with a verdict, completed with defaults."""
    return Expect(**_given(table))


def overlaid(expect: Expect, overrides: Iterable[ExpectTable]) -> Expect:
    """The expectation with overrides merged in, in order; an override with a verdict replaces everything before it."""
    for table in overrides:
        expect = completed(table) if table.verdict else msgspec.structs.replace(expect, **_given(table))
    return expect


def misfits(data: dict[str, Any], key: str) -> Iterator[Problem]:
    """Why parsed TOML is not a valid [step.expect] table: unknown keys, wrong types and values."""
    own, overrides = _split(data)
    yield from explain(own, ExpectTable, key)
    for name, value in overrides.items():
        where = toml_key(key, name)
        if name not in DIALECTS and not VERSION_PREFIX.fullmatch(name):
            yield Problem(
                where,
                f"unknown key.{did_you_mean(name, (*_FIELDS, *DIALECTS))} Known here: {listed(_FIELDS)}; and tables "
                f'for a dialect ({listed(DIALECTS)}) or a version prefix, such as [step.expect."4.8"]',
            )
        elif isinstance(value, dict) and any(inner.isdigit() for inner in value):
            yield Problem(where, 'a version prefix with a dot needs quotes: [step.expect."4.8"]')
        elif value == {}:
            yield Problem(where, "is empty: add what differs for this build, or remove the table")
        else:
            yield from explain(value, ExpectTable, where)


def read(data: dict[str, Any]) -> Written:
    """Parse a [step.expect] table.

    Raises:
        msgspec.ValidationError: It is not valid; `misfits` says why.
    """
    own, overrides = _split(data)
    if not all(overrides.values()) or not all(name in DIALECTS or VERSION_PREFIX.fullmatch(name) for name in overrides):
        raise msgspec.ValidationError
    return Written(convert(own, ExpectTable), convert(overrides, dict[str, ExpectTable]))


def variants(written: Written) -> Iterator[tuple[tuple[str, ...], Expect]]:
    """Every expectation that can apply to some build, with the overrides that produce it; the table itself first."""
    base, overrides = completed(written.table), written.overrides
    yield (), base
    for name, table in overrides.items():
        yield (name,), overlaid(base, [table])
    dialects = [name for name in overrides if name in DIALECTS]
    for dialect in dialects:
        for version in overrides.keys() - set(DIALECTS):
            yield (dialect, version), overlaid(base, [overrides[dialect], overrides[version]])


def check(written: Written, repeat: int, key: str) -> Iterator[Problem]:
    """Problems of an expectation and of its combinations with overrides.

    Args:
        written: As `read` parsed it.
        repeat: How many times the step runs.
        key: The table's key.
    """
    for name, table in {"": written.table, **written.overrides}.items():
        where = toml_key(key, name) if name else key
        yield from (Problem(f"{where}.{leaf}", sentence) for leaf, sentence in _list_faults(table))
    if written.table.verdict is None:
        yield Problem(f"{key}.verdict", "missing: state the verdict that this step must have")
        return
    known: set[tuple[str, str]] = set()
    for names, expect in variants(written):
        faults = [fault for fault in _faults(expect, repeat) if fault not in known]
        known.update(faults)
        with_dialect = f" (for {names[0]} builds, together with their override)" if len(names) > 1 else ""
        where = toml_key(key, names[-1]) if names else key
        yield from (Problem(f"{where}.{leaf}", sentence + with_dialect) for leaf, sentence in faults)


def _split(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the table into its own keys and its overrides, which are known by name or because they are tables."""
    overrides = {
        name: value
        for name, value in data.items()
        if name not in _FIELDS and (isinstance(value, dict) or name in DIALECTS or VERSION_PREFIX.fullmatch(name))
    }
    return {name: value for name, value in data.items() if name not in overrides}, overrides


def _given(table: ExpectTable) -> dict[str, Any]:
    given = {name: value for name in _FIELDS if (value := getattr(table, name)) is not None}
    if (reason := given.pop("reason", None)) is not None:
        given["reasons"] = _as_set(reason)
    return given | {name: _as_set(given[name]) for name in _SETS if name in given}


def _as_set(value: str | tuple[str, ...]) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)


def _fits(prefix: str, version: str) -> bool:
    return version.startswith(prefix) and not version[len(prefix) :][:1].isdigit()


def _list_faults(table: ExpectTable) -> Faults:
    for leaf in ("reason", "exposed", "to", "otherwise", *TLS_KEYS):
        value = getattr(table, leaf)
        if value == ():
            yield leaf, "is an empty list; omit the key, or add an entry"
        elif isinstance(value, tuple) and len(set(value)) < len(value):
            yield leaf, "has the same entry twice"
    if table.cipher is not None and not all(_CIPHER.fullmatch(name) for name in _as_set(table.cipher)):
        yield "cipher", "is not a cipher suite: write OpenSSL's name, such as TLS_AES_256_GCM_SHA384"
    if table.message == "":
        yield "message", "is empty: give a text that lftp prints, or omit the key"
    elif table.message is not None and patterns.has_control_characters(table.message):
        yield (
            "message",
            f"{shown(table.message)} contains a line end or control character; give one line of lftp's output",
        )


def _faults(expect: Expect, repeat: int) -> Faults:
    if expect.reasons is None and expect.verdict == "rejected":
        yield "reason", f"missing: name the reason of the refusal. Allowed: {listed(get_args(Reason))}"
    if expect.reasons is not None and expect.verdict != "rejected":
        yield "reason", _belongs("rejected", expect)
    for leaf in ("exposed", "to"):
        if getattr(expect, leaf) is not None and expect.verdict != "exposed":
            yield leaf, _belongs("exposed", expect)
    for leaf in TLS_KEYS:
        if getattr(expect, leaf) is not None and expect.verdict == "unreachable":
            yield leaf, "is about a TLS handshake, but an unreachable server has none; remove it"
    yield from _frequency_faults(expect, repeat)


def _frequency_faults(expect: Expect, repeat: int) -> Faults:
    if expect.how_often == "sometimes":
        if repeat < 2:
            yield "how_often", '"sometimes" needs more than one run; add repeat to the step, such as repeat = 10'
        if not expect.otherwise:
            yield "otherwise", 'missing: with "sometimes", name the verdicts that the other runs may have'
    elif expect.otherwise:
        yield "otherwise", 'is only valid with how_often = "sometimes"; add that, or remove this key'
    if expect.verdict in expect.otherwise:
        yield "otherwise", f"{shown(expect.verdict)} is already the expected verdict; name other verdicts only"


def _belongs(verdict: str, expect: Expect) -> str:
    return (
        f"is only valid with the verdict {shown(verdict)}, but the verdict here is {shown(expect.verdict)}; "
        "remove it, or change the verdict"
    )
