"""What README.md shows is true: its example test, its scenario, its commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.cli.commands import COMMANDS
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import parse

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The only block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_example_test_is_the_one_that_is_run() -> None:
    """`plugin_example.py` runs in test_plugin.py and against the built wheel."""
    code = (ROOT / "tests/harness/plugin/plugin_example.py").read_text().replace("  # type: ignore[no-untyped-def]", "")
    assert block("python").strip() in code


@pytest.mark.lftp
def test_the_example_scenario_passes(client: Lftp) -> None:
    scenario = parse(block("toml"), "my-backup.scenario.toml", "readme/my-backup")
    result = run_scenario(scenario, client, Options())
    assert result.status == "pass", [step.judgement for step in result.steps]


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"`ftps-lab (\w+)", README))
    assert named
    assert named <= set(COMMANDS)


def test_every_file_that_is_linked_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
