"""README.md is true: its example test, its scenario, its commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.cli import call
from ftps_harness.cli.commands import COMMANDS
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import parse

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The only block in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_example_test_is_the_one_that_runs() -> None:
    """`plugin_example.py` runs in test_plugin.py and against the built wheel."""
    code = (ROOT / "tests/harness/plugin/plugin_example.py").read_text().replace("  # type: ignore[no-untyped-def]", "")
    assert block("python").strip() in code


@pytest.mark.lftp
def test_example_scenario_passes(client: Lftp) -> None:
    scenario = parse(block("toml"), "my-backup.scenario.toml", "readme/my-backup")
    result = run_scenario(scenario, client, Options())
    assert result.status == "pass", [step.judgement for step in result.steps]


@pytest.mark.long
@pytest.mark.lftp
def test_quoted_output_of_pin_check_is_what_it_prints(
    sealed_here: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = README.partition("$ ftps-lab pin-check ")[2].partition("```")[0]
    command, _, lines = shown.partition("\n")
    script = tmp_path / "pin.sh"
    script.write_bytes((ROOT / "tests/harness/pinning/tools/small.sh").read_bytes())
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert call(["pin-check", "--only", "two-hosts", *command.split()]) == 1
    printed = capsys.readouterr().out.replace(str(script), "./pin.sh")
    parts = re.split("\n…\n", lines)[1:-1]
    assert any("expected" in part for part in parts)
    for part in parts:
        assert " ".join(part.split()) in " ".join(printed.split())  # a longer path moves the line breaks


def test_every_named_command_exists() -> None:
    named = set(re.findall(r"`ftps-lab ([\w-]+)", README))
    assert named
    assert named <= set(COMMANDS)


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
