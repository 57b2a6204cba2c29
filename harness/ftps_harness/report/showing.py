"""Shows one scenario: why it matters, its certificates and server, and what each step does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ftps_harness.errors import UsageError
from ftps_harness.play.controls import control_for
from ftps_harness.report.plain import expectation_words, harmless, tls_words, verdict_words, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.scenario import Scenario, Server, Source, Step
    from ftps_harness.scenario.tables import ExpectTable
    from ftps_lab.certificates import CertificateSpec

_WIDTH = 80
_LABEL = 12


class Line(NamedTuple):
    """A line, and whether it is a heading."""

    text: str
    heading: bool = False


def showing(scenario: Scenario) -> Iterator[Line]:
    """The whole scenario, in lines of 80 columns, except for rc lines, which stay as they are."""
    yield Line(scenario.id, heading=True)
    yield from map(Line, wrapped(harmless(scenario.title), _WIDTH))
    yield Line("")
    for paragraph in scenario.why.strip().split("\n\n"):
        yield from (Line(f"  {line}") for line in wrapped(harmless(paragraph), _WIDTH - 4))
        yield Line("")
    yield from _labelled("file", scenario.file)
    yield from _labelled("tags", ", ".join(scenario.tags))
    yield from _labelled("claim", scenario.claim or "")
    if scenario.certificates:
        yield Line("")
        yield Line("certificates", heading=True)
    for name, table in scenario.certificates.items():
        yield from _labelled(name, _certificate(table))
    yield Line("")
    yield Line("server", heading=True)
    yield from (Line(f"  {line}") for line in wrapped(server_words(scenario.server), _WIDTH - 4))
    no_rc = "(no such file yet)"
    for number, step in enumerate(scenario.steps, 1):
        no_rc = no_rc if step.rc is None else "(as before)"
        yield Line("")
        yield from (Line(line, heading=True) for line in wrapped(f"step {number}: {harmless(step.title)}", _WIDTH))
        yield from _step(step, no_rc)


def server_words(server: Server) -> str:
    """A server in one sentence."""
    if server.protocol == "plain":
        said = ["plain FTP, without TLS"]
    else:
        said = [
            {"explicit": "explicit FTPS (AUTH TLS)", "implicit": "implicit FTPS"}[server.protocol],
            f"TLS {' and '.join(server.tls)}",
            f"shows {' + '.join((server.certificate or '', *server.chain))}",
        ]
    if server.data_certificate != server.certificate:
        said.append(f"on data connections {server.data_certificate}")
    if server.require_tls:
        said.append("refuses anything outside TLS")
    if server.user is not None:
        said.append(f"only {harmless(server.user)} may log in")
    if server.password is not None:
        said.append(f"its password is {harmless(server.password)}")
    if server.role == "impostor":
        said.append("an impostor's")
    return ", ".join(said) + attack_words(server)


def attack_words(server: Server) -> str:
    """What an on-path attacker does, as the end of a sentence about the server; empty without an attacker."""
    attack = server.attacker
    if attack is None:
        return ""
    words = attack.words.format(
        attack_certificate=server.attack_certificate or f"a copy of {server.certificate}, with another key",
        attack_reply=server.attack_reply,
        attack_how=attack.ways.get(server.attack_how, ""),
    )
    return f"; between it and the client, {words}"


def files_words(step: Step) -> Iterator[tuple[str, str]]:
    """The files that a step puts in place, and their sources."""
    for name, sources in step.files.items():
        place = f"in the folder where lftp starts: {name[4:]}" if name.startswith("cwd/") else f"~/.lftp/{name}"
        yield harmless(place), " + ".join(map(_source, sources))


def expected_words(step: Step) -> Iterator[str]:
    """A step's expected outcome, and what differs for some builds."""
    expect = step.expect
    yield expectation_words(expect) + (f', and lftp prints "{expect.message}"' if expect.message else "")
    for name, table in step.overrides.items():
        yield f"with {name}: {_override(table)}"


def _step(step: Step, no_rc: str) -> Iterator[Line]:
    if step.changed:
        yield from _labelled("the server", f"is now: {server_words(step.server)}")
    for place, content in files_words(step):
        yield from _labelled("file", f"{place} = {content}")
    if step.rc is None:
        yield from _labelled("rc", no_rc)
    else:
        yield from _labelled("rc", f"the file {step.rc_file}, unchanged:" if step.rc_file else "")
        yield from _verbatim("" if step.rc_file else "rc", step.rc)
    yield from _labelled("scheme", f"{step.scheme}://" if step.scheme else "")
    if step.host != "localhost":
        yield from _labelled("host", step.host)
    yield from _labelled("user", step.user or "")
    yield from _labelled("password", step.password or "")
    where = {"lftp": "inside ~/.lftp", "home": "", "elsewhere": "in an empty folder"}[step.cwd]
    yield from _labelled("started", where)
    yield from _labelled("clock", step.clock or "")
    yield from _labelled("locale", step.locale or "")
    yield from _labelled("run", ", ".join(step.run) + _times(step))
    for index, text in enumerate(expected_words(step)):
        yield from _labelled("expected" if index == 0 else "", text)
    yield from _labelled("control", _control(step))


def _times(step: Step) -> str:
    if step.repeat == 1:
        return ""
    if step.at_least is None:
        return f"; {step.repeat} times"
    return f"; {step.at_least} to {step.repeat} times, until the expected result has occurred"


def _control(step: Step) -> str:
    if step.why_no_control:
        return f"none: {step.why_no_control}"
    try:
        control = control_for(step, step.expect)
    except UsageError as error:
        return str(error)
    if control is None:
        return "none: this verdict does not need one"
    return f"{control.kind}, which must be {' or '.join(control.wanted)}"


def _certificate(table: CertificateSpec) -> str:
    """Its fields that differ from the defaults."""
    fields = {name: getattr(table, name) for name in table.__struct_fields__}
    defaults = {name: getattr(type(table)(), name) for name in fields}
    issuer = "self-signed" if table.issuer == "self" else f"issued by {table.issuer}"
    given = [f"{name} = {_toml(value)}" for name, value in fields.items() if value != defaults[name]]
    names = "" if "common_name" in " ".join(given) else f" for {table.common_name}"
    return ", ".join([f"{issuer}{names}", *(each for each in given if not each.startswith("issuer"))])


def _override(table: ExpectTable) -> str:
    reason = _tuple(table.reason)
    said = []
    if table.verdict:
        said.append(verdict_words(table.verdict, reason, table.exposed, table.to))
    else:
        parts = {"reason": reason, "exposed": table.exposed, "to": table.to}
        said += [f"{name} {', '.join(words)}" for name, words in parts.items() if words]
    if table.how_often:
        said.append(table.how_often)
    if table.otherwise:
        said.append(f"else {' or '.join(table.otherwise)}")
    said += tls_words(*(_tuple(getattr(table, name)) for name in ("tls", "cipher", "server_name")))
    if table.message:
        said.append(f'prints "{table.message}"')
    return ", ".join(said)


def _tuple(value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else value


def _source(source: Source) -> str:
    if source.kind == "text":
        return f"text {source.value!r}"
    return source.kind if source.kind == "served" else f"{source.kind}:{source.value}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _labelled(label: str, text: str) -> Iterator[Line]:
    """A label and its text; nothing for an empty text."""
    for line in wrapped(harmless(text), _WIDTH - _LABEL - 2):
        yield Line(f"  {label:{_LABEL - 1}} {line}")
        label = ""


def _verbatim(label: str, text: str) -> Iterator[Line]:
    for line in harmless(text).strip("\n").split("\n"):
        yield Line(f"  {label:{_LABEL - 1}} {line or '(empty)' if label else line}".rstrip())
        label = ""
