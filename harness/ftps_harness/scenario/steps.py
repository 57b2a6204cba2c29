"""Whether steps make sense: one rule for each key, each a row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ftps_harness.scenario import expectations, files, patterns, runs, substitution
from ftps_harness.scenario.problems import Problem, shown, toml_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftps_harness.scenario.expectations import Written
    from ftps_harness.scenario.model import Expect, Server
    from ftps_harness.scenario.tables import StepTable


_BY_TLS = frozenset({"tls-required", "tls-handshake"})
"""Reasons unrelated to verification: a control run with verification off, which proves other refusals, proves none."""


class Context(NamedTuple):
    """A step and the data on which its meaning depends.

    Attributes:
        key: Such as ``step[2]``.
        step: As written.
        server: The complete server in force.
        expect: Its expectation, parsed.
        certificates: The names of the file's certificates.
    """

    key: str
    step: StepTable
    server: Server
    expect: Written
    certificates: tuple[str, ...]


def check(steps: list[Context]) -> Iterator[Problem]:
    """Problems of the steps, in the order of the file."""
    titles: dict[str, str] = {}
    for context in steps:
        for rule in _RULES:
            yield from rule(context)
        first = titles.setdefault(context.step.title, context.key)
        if first != context.key:
            yield Problem(
                f"{context.key}.title",
                f"{first} has the title {shown(context.step.title)} too; reports name steps by title, so change one",
            )


def check_login(step: StepTable, key: str) -> Iterator[Problem]:
    """Whether lftp's commands can carry host, user and password; a catalogue checks this too."""
    if not patterns.is_host(step.host):
        yield Problem(f"{key}.host", f"{shown(step.host)} is neither a host name nor an IP address")
    for leaf in ("user", "password"):
        text = getattr(step, leaf)
        if text is not None and (sentence := patterns.login_fault(text)):
            yield Problem(f"{key}.{leaf}", sentence)


def line_fault(text: str) -> str | None:
    """The problem of a text that must be a single line."""
    if not text.strip():
        return "is empty: state in one line what this shows"
    return "must be one line without control characters" if patterns.has_control_characters(text) else None


def _title(context: Context) -> Iterator[Problem]:
    if sentence := line_fault(context.step.title):
        yield Problem(f"{context.key}.title", sentence)


def _server(context: Context) -> Iterator[Problem]:
    change = context.step.server
    if change is not None and all(getattr(change, name) is None for name in change.__struct_fields__):
        yield Problem(f"{context.key}.server", "is empty: name what changes about the server, or omit it")


def _login(context: Context) -> Iterator[Problem]:
    yield from check_login(context.step, context.key)


def _files(context: Context) -> Iterator[Problem]:
    yield from files.check(context.step, context.server, context.certificates, context.key)


def _rc(context: Context) -> Iterator[Problem]:
    for sentence in substitution.check(context.step.rc or "", context.certificates):
        yield Problem(f"{context.key}.rc", sentence)


def _run(context: Context) -> Iterator[Problem]:
    yield from runs.check(context.step.run, f"{context.key}.run")
    for number, item in enumerate(context.step.run, start=1):
        for sentence in substitution.check(item, context.certificates):
            yield Problem(f"{context.key}.run[{number}]", sentence)


def _clock(context: Context) -> Iterator[Problem]:
    clock = context.step.clock
    if clock is None:
        return
    if not patterns.RELATIVE.fullmatch(clock):
        yield Problem(
            f"{context.key}.clock",
            f"{shown(clock)} is not a time offset: write one such as +366d or -2d (units: s, m, h, d)",
        )
    elif not patterns.EARLIEST <= patterns.relative_seconds(clock) <= patterns.LATEST:
        yield Problem(f"{context.key}.clock", f"{shown(clock)} is too far from now: the range is -25000d to +365000d")


def _locale(context: Context) -> Iterator[Problem]:
    locale = context.step.locale
    if locale is not None and not patterns.LOCALE.fullmatch(locale):
        yield Problem(
            f"{context.key}.locale", f"{shown(locale)} is not a locale: write one such as C.UTF-8 or de_DE.ISO-8859-1"
        )


def _repeat(context: Context) -> Iterator[Problem]:
    if not 1 <= context.step.repeat <= 1000:
        yield Problem(f"{context.key}.repeat", f"must be from 1 to 1000, not {context.step.repeat}")


def _at_least(context: Context) -> Iterator[Problem]:
    least, most = context.step.at_least, context.step.repeat
    if least is None:
        return
    if not 1 <= least < most:
        yield Problem(f"{context.key}.at_least", f"must be from 1 to less than repeat ({most}), not {least}")
    variants = _variants(context)
    if variants and all(expect.how_often == "always" for expect in variants):
        yield Problem(
            f"{context.key}.at_least",
            'is only valid if a result is expected "sometimes": add how_often to the expectation, or remove this key',
        )


def _control(context: Context) -> Iterator[Problem]:
    control, why = context.step.control, context.step.why_no_control
    if control == "none" and not (why or "").strip():
        yield Problem(f"{context.key}.why_no_control", 'missing: control = "none" needs a reason')
    if control != "none" and why is not None:
        yield Problem(
            f"{context.key}.why_no_control", 'is only valid with control = "none"; add that, or remove this key'
        )
    variants = _variants(context)
    verdicts = {expect.verdict for expect in variants}
    if control in {"impostor-refused", "impostor-accepted"} and verdicts and "accepted" not in verdicts:
        yield Problem(
            f"{context.key}.control",
            f'{shown(control)} tests the verdict "accepted", which no build is expected to have here; remove it',
        )
    if control is None and any(map(_nothing_to_take_away, variants)):
        yield Problem(
            f"{context.key}.control",
            "missing: a refusal for tls-handshake, or for tls-required and another reason, has no control run, because "
            'no rc line causes it; write control = "none" and why_no_control',
        )


def _variants(context: Context) -> list[Expect]:
    """The possible expectations of the step; none if the verdict is missing, which is reported elsewhere."""
    if context.expect.table.verdict is None:
        return []
    return [expect for _, expect in expectations.variants(context.expect)]


def _nothing_to_take_away(expect: Expect) -> bool:
    reasons = expect.reasons or frozenset()
    return expect.verdict == "rejected" and bool(reasons & _BY_TLS) and reasons != {"tls-required"}


def _expect(context: Context) -> Iterator[Problem]:
    yield from expectations.check(context.expect, context.step.repeat, f"{context.key}.expect")
    if context.server.protocol != "plain":
        return
    for name, table in {"": context.expect.table, **context.expect.overrides}.items():
        where = toml_key(f"{context.key}.expect", name) if name else f"{context.key}.expect"
        for leaf in expectations.TLS_KEYS:
            if getattr(table, leaf) is not None:
                yield Problem(f"{where}.{leaf}", "is about a TLS handshake, but a plain server has none; remove it")


_RULES: tuple[Callable[[Context], Iterator[Problem]], ...] = (
    _title,
    _server,
    _login,
    _files,
    _rc,
    _run,
    _clock,
    _locale,
    _repeat,
    _at_least,
    _control,
    _expect,
)
