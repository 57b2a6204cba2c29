"""A scenario file → `Scenario`, or every problem in it.

The stages: TOML, the version, keys of later versions, types, meaning, and finally defaults and references. Each stage
reports everything it finds; the next one runs only on what the previous one understood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ftps_harness.scenario import certificates, expectations, files, later, patterns, rc_files, reading, servers, steps
from ftps_harness.scenario.explain import explain
from ftps_harness.scenario.model import Outline, Scenario, Step
from ftps_harness.scenario.problems import Problem, ScenarioError, shown
from ftps_harness.scenario.tables import ScenarioTable
from ftps_lab.conversion import convert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.scenario.tables import ServerTable


def load(path: Path, id: str | None = None) -> Scenario:  # noqa: A002 - the format's word
    """Read a scenario file.

    Args:
        path: Its name must end in ``.scenario.toml``.
        id: Its id; None for ``<area>/<case>``, from the names of its folder and of the file.

    Raises:
        ScenarioError: The file cannot be used; the error gives the reasons.
    """
    return parse(reading.text_of(path), str(path), id_of(path) if id is None else id, path.parent)


def parse(text: str, file: str, id: str, folder: Path | None = None) -> Scenario:  # noqa: A002 - the format's word
    """Parse the text of a scenario file; pure, except that it reads the files that `rc_file` names.

    Args:
        text: TOML.
        file: The file's name for errors.
        id: ``<area>/<case>``.
        folder: The base for the paths of `rc_file`; None if the text does not come from a file.

    Raises:
        ScenarioError: The text cannot be used; the error gives the reasons.
    """
    typed = _typed(text, file)
    table, problems = rc_files.filled_in(typed.table, folder)
    typed = typed._replace(table=table, problems=[*typed.problems, *problems])
    contexts = _contexts(typed)
    if problems := [*typed.problems, *_meaningless(typed.table, contexts)]:
        raise ScenarioError(file, problems)
    return _complete(typed.table, contexts, file, id)


def outline(path: Path, id: str | None = None) -> Outline:  # noqa: A002 - the format's word
    """The catalogue entry of a scenario file; three times as fast as `load`.

    Keys, types and values are checked as in `load`, and so are host, user and password. Whether references resolve and
    steps make sense is not checked.

    Args:
        path: As for `load`.
        id: As for `load`.

    Raises:
        ScenarioError: As for `load`.
    """
    typed = _typed(reading.text_of(path), str(path))
    table = typed.table
    if problems := [*typed.problems, *_unspeakable(table)]:
        raise ScenarioError(str(path), problems)
    return Outline(
        id=id_of(path) if id is None else id,
        file=str(path),
        title=table.title,
        tags=table.tags,
        claim=table.claim,
        steps=tuple(step.title for step in table.step),
    )


def _unspeakable(table: ScenarioTable) -> Iterator[Problem]:
    """Hosts, users and passwords that no command can carry."""
    yield from servers.check_login(table.server, "server")
    for number, step in enumerate(table.step, 1):
        yield from servers.check_login(step.server or servers.NOTHING, f"step[{number}].server")
        yield from steps.check_login(step, f"step[{number}]")


def id_of(path: Path) -> str:
    """The id of a scenario file: ``<area>/<case>``."""
    return f"{path.absolute().parent.name}/{path.name.removesuffix(reading.SUFFIX)}"


class _Typed(NamedTuple):
    """A file in which every key is known and every value has the right type; `problems` are keys of later versions."""

    table: ScenarioTable
    expects: list[expectations.Written]
    problems: list[Problem]


def _typed(text: str, file: str) -> _Typed:
    data = reading.toml_of(text, file)
    if type(version := data.get("schema", 1)) is not int or version != 1:
        sentence = f"is {shown(version)}, but this ftps-lab reads schema = 1; update ftps-lab, or change the file"
        raise ScenarioError(file, [Problem("schema", sentence)])
    data, problems = later.prune(reading.times_as_text(data))
    try:
        table = convert(data, ScenarioTable)
        return _Typed(table, [expectations.read(step.expect) for step in table.step], problems)
    except msgspec.ValidationError as error:
        problems += _misfits(data)
        raise ScenarioError(file, problems or [Problem("", str(error))]) from None


def _misfits(data: dict[str, Any]) -> Iterator[Problem]:
    yield from explain(data, ScenarioTable)
    steps_given = data.get("step")
    for number, step in enumerate(steps_given if isinstance(steps_given, list) else (), start=1):
        if isinstance(step, dict) and isinstance(expect := step.get("expect"), dict):
            yield from expectations.misfits(expect, f"step[{number}].expect")


def _contexts(typed: _Typed) -> list[steps.Context]:
    names = tuple(typed.table.certificates)
    parts = zip(_server_tables(typed.table), typed.table.step, typed.expects, strict=True)
    return [
        steps.Context(f"step[{number}]", step, servers.completed(server), expect, names)
        for number, (server, step, expect) in enumerate(parts, start=1)
    ]


def _server_tables(table: ScenarioTable) -> Iterator[ServerTable]:
    """The server's table at each step, with all changes up to it."""
    server = table.server
    for step in table.step:
        server = servers.overlaid(server, step.server)
        yield server


def _meaningless(table: ScenarioTable, contexts: list[steps.Context]) -> Iterator[Problem]:
    if sentence := steps.line_fault(table.title):
        yield Problem("title", sentence)
    if not table.why.strip():
        yield Problem("why", "is empty: explain to a learner what is at stake and what to look at")
    yield from _words(table)
    yield from certificates.check(table.certificates)
    placed = [servers.Placed("server", table.server, table.server)]
    for context, in_force in zip(contexts, _server_tables(table), strict=True):
        written = context.step.server or servers.NOTHING
        placed.append(servers.Placed(f"{context.key}.server", written, in_force))
    yield from servers.check(placed, table.certificates)
    if not table.step:
        yield Problem("step", "is empty: a scenario needs at least one [[step]] table")
    yield from steps.check(contexts)


def _words(table: ScenarioTable) -> Iterator[Problem]:
    for tag in table.tags:
        if not tag or any(letter.isspace() for letter in tag) or patterns.has_control_characters(tag):
            yield Problem("tags", f"{shown(tag)} is not a valid tag: write one word without blanks")
    if len(set(table.tags)) < len(table.tags):
        yield Problem("tags", "names the same tag twice")
    if table.claim is not None and not patterns.CLAIM.fullmatch(table.claim):
        yield Problem(
            "claim", f"{shown(table.claim)} is not a valid claim id: use lower-case letters, digits and hyphens"
        )


def _complete(table: ScenarioTable, contexts: list[steps.Context], file: str, name: str) -> Scenario:
    server = servers.completed(table.server)
    before = [server, *(context.server for context in contexts)]
    return Scenario(
        id=name,
        file=file,
        title=table.title,
        why=table.why,
        tags=table.tags,
        claim=table.claim,
        certificates=table.certificates,
        server=server,
        steps=tuple(
            _step(context, earlier != context.server) for context, earlier in zip(contexts, before, strict=False)
        ),
    )


def _step(context: steps.Context, changed: bool) -> Step:
    step = context.step
    return Step(
        title=step.title,
        server=context.server,
        changed=changed,
        host=step.host,
        scheme=step.scheme,
        user=step.user,
        password=step.password,
        files={name: files.sources(text) for name, text in step.files.items()},
        cwd=step.cwd,
        rc=step.rc,
        rc_file=step.rc_file,
        run=step.run,
        clock=step.clock,
        locale=step.locale,
        repeat=step.repeat,
        at_least=step.at_least,
        control=step.control,
        why_no_control=step.why_no_control,
        expect=expectations.completed(context.expect.table),
        overrides=context.expect.overrides,
    )
