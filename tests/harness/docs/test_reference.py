"""docs/reference.md names everything that exists and nothing else: keys, words, options, exit codes, JSON fields."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec
import pytest

from ftps_harness import cli, testing
from ftps_harness.cli.commands import COMMANDS, commands
from ftps_harness.matrix import matrix_json
from ftps_harness.matrix.baseline import Drift
from ftps_harness.matrix.play import MatrixRun
from ftps_harness.play import controls
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.report import json_report
from ftps_harness.report.tally import BuildRun
from ftps_harness.scenario import load, schema, tables
from ftps_harness.scenario.model import Server
from ftps_lab.certificates import CertificateSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftps_harness.client.lftp import Lftp

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs/reference.md").read_text("utf-8")

TABLES = {
    "The scenario file": "",
    "Certificates": "CertificateTable",
    "The server": "ServerTable",
    "Steps": "StepTable",
    "Expectations": "ExpectTable",
}
"""Headings, and the schema's table below each."""

EVERYWHERE = {"--help", "-h", "--version", "--pin-tool"}
"""Options of `ftps-lab` itself and of the pytest plugin, which the text names."""


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    (found,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    return str(found)


def code(text: str) -> list[str]:
    """Everything in backticks."""
    return [span.replace("\\|", "|") for span in re.findall(r"`([^`\n]+)`", text)]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table, without headings."""
    for line in re.findall(r"^\| (.*) \|$", text, re.MULTILINE):
        cells = re.split(r" ?(?<!\\)\| ?", line)
        if cells[0].startswith("`") or cells[0].isdigit():
            yield cells


def named(heading: str) -> list[str]:
    """The names in the first column of a section's tables."""
    return [span for cells in rows(section(heading)) for span in code(cells[0])]


def words(heading: str) -> set[str]:
    """Every word in backticks in a section."""
    return {word for span in code(section(heading)) for word in re.findall(r"[\w.-]+", span)}


def properties(table: str) -> Mapping[str, Any]:
    generated = schema.json_schema()
    found: Mapping[str, Any] = (generated["$defs"][table] if table else generated)["properties"]
    return found


@pytest.mark.parametrize("heading", TABLES)
def test_rows_are_exactly_the_keys_of_the_format(heading: str) -> None:
    assert sorted(named(heading)) == sorted(properties(TABLES[heading]))


def allowed(value: Any) -> Iterator[str]:
    """The words that a part of the schema allows."""
    if isinstance(value, dict):
        yield from (word for word in value.get("enum", ()) if isinstance(word, str))
        for inner in value.values():
            yield from allowed(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from allowed(inner)


@pytest.mark.parametrize("heading", TABLES)
def test_every_allowed_word_is_listed(heading: str) -> None:
    """The page names every allowed word but keyUsage's, from RFC 5280; verdicts and reasons have their own sections."""
    own = {key: value for key, value in properties(TABLES[heading]).items() if key not in {"key_usage", "reason"}}
    there = words(heading) | words("Verdicts")
    assert [word for word in allowed(own) if word not in there] == []


DEFAULTS: dict[str, dict[str, Any]] = {
    "The scenario file": {field.name: field.default for field in msgspec.structs.fields(tables.ScenarioTable)},
    "Certificates": {
        **{field.name: field.default for field in msgspec.structs.fields(CertificateSpec)},
        "key": CertificateSpec().kind_of_key,
    },
    "The server": {field.name: field.default for field in msgspec.structs.fields(Server)},
    "Steps": {field.name: field.default for field in msgspec.structs.fields(tables.StepTable)},
}
"""Default of each key; where it is None or not a value, the page describes it in words."""


@pytest.mark.parametrize("heading", DEFAULTS)
def test_row_of_a_key_gives_its_default(heading: str) -> None:
    told = {key: row for row in rows(section(heading)) for key in code(row[0])}
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in DEFAULTS[heading].items()}
    known = {key: value for key, value in values.items() if isinstance(value, (str, int, list))}
    assert len(known) >= 1
    assert {key: told[key][2] for key in known if json.dumps(known[key]) not in told[key][2]} == {}


def test_verdicts_reasons_and_dialects_have_their_rows() -> None:
    assert named("Verdicts") == list(get_args(tables.Verdict))
    assert named("Reasons") == list(get_args(tables.Reason))
    assert named("Dialects") == list(tables.DIALECTS)


def test_every_control_is_listed() -> None:
    kinds = {value.kind for value in vars(controls).values() if isinstance(value, controls.Control)}
    assert len(kinds) == 6
    assert kinds <= words("Controls")


def test_exit_codes_match_the_code() -> None:
    known = (cli.EXPECTED, cli.UNEXPECTED, cli.USAGE, cli.UNABLE, cli.INTERRUPTED)
    assert [int(cells[0]) for cells in rows(section("Exit codes"))] == list(known)


def options() -> set[tuple[str, str]]:
    """Every option as written, with its command: `--tag TAG` of list."""
    found = set()
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                found |= {(f"{opt} {option.metavar or ''}".strip(), name) for opt in option.opts}
    return found


def test_options_are_exactly_those_of_the_commands() -> None:
    cells = [row for row in rows(section("The command")) if row[0].startswith("`-")]
    told = {(option, command) for first, of, _ in cells for option in code(first) for command in code(of)}
    assert told == options()


def test_every_mentioned_option_and_command_exists() -> None:
    """Every option and command that the page has in backticks exists."""
    known = {option.split()[0] for option, _ in options()} | EVERYWHERE
    spans = code(REFERENCE)
    calls = [span.split()[1:] for span in spans if span.startswith("ftps-lab ")]
    given = [span.split()[0] for span in spans if re.match(r"--?[a-z]", span)]
    assert {call[0] for call in calls if not call[0].startswith("-")} == set(COMMANDS)
    given += [word for call in calls for word in call if word.startswith("-") and word != "--"]  # a command follows
    assert sorted(set(given) - known) == []
    assert sorted(EVERYWHERE - set(given)) == []


def keys(data: Any) -> set[str]:
    """Every JSON key at any depth, except below a witness: that is evidence."""
    if isinstance(data, list):
        return set().union(*map(keys, data))
    if not isinstance(data, dict):
        return set()
    return set(data).union(*(keys(value) for key, value in data.items() if key != "witnesses"))


@pytest.mark.lftp
def test_every_json_key_of_run_is_listed(client: Lftp) -> None:
    scenario = load(ROOT / "scenarios/document/untrusted-by-default.scenario.toml")
    result = run_scenario(scenario, client, Options())
    data = json.loads(json_report.text([BuildRun(client, (result,), 1, 0.1)], several=False))
    step = data["results"][0]["steps"][0]
    assert sorted(keys(data) - words("Of run")) == []
    assert sorted(set(step["witnesses"]) - words("Of run")) == []
    sometimes = {"counts", "interrupted", "why", "why_no_control"}
    assert set(named("Of run")) == set(data) | set(step) | sometimes


def test_every_json_key_of_matrix_is_listed() -> None:
    drift = Drift("sid", "lab", "document/expired", "a step", ("accepted",), ("rejected",))
    data = json.loads(matrix_json.text(MatrixRun((), interrupted=True, seconds=0.1), [drift]))
    assert sorted(keys(data) - words("Of matrix") - words("Of run")) == []


def test_fixtures_their_arguments_and_result_fields_are_listed() -> None:
    there = words("The pytest plugin")
    taken = set(inspect.signature(testing.LftpRunner.__call__).parameters) - {"self"}
    given = {field.name for field in dataclasses.fields(testing.TestOutcome)}
    taken |= set(inspect.signature(testing.LftpRunner.program).parameters) - {"self"}
    taken |= set(inspect.signature(testing.TestOutcome.check).parameters) - {"self"}
    taken |= set(inspect.signature(testing.SetupVerifier.__call__).parameters) - {"self"}
    given |= {field.name for field in dataclasses.fields(testing.SetupReport)} | {"ids"}
    assert sorted((taken | given) - there) == []
    plugin = importlib.import_module("ftps_harness.pytest_plugin")
    fixtures = {name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert set(named("The pytest plugin")) == fixtures != set()
