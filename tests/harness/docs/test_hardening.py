"""docs/hardening.md: its rc is the one that the scenarios run, and every line of it is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import load

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.scenario import Scenario

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/hardening.md").read_text()
FINGERPRINT = re.compile(r"(?:[0-9A-F]{2}:){19}[0-9A-F]{2}")


def hardened(name: str) -> Scenario:
    """A hardened scenario: the steps in which the full rc meets the attackers on the control connection."""
    scenario = load(ROOT / f"scenarios/attack/hardened-{name}.scenario.toml")
    changed = [index for index, step in enumerate(scenario.steps) if step.rc is not None]
    steps = scenario.steps[: changed[1]]
    quick = tuple(step for step in steps if step.repeat == 1 and step.expect.verdict != "failed")
    return msgspec.structs.replace(scenario, steps=quick)


def rc_lines(scenario: Scenario) -> list[str]:
    """The rc of the first step."""
    return (scenario.steps[0].rc or "").strip().splitlines()


def with_rc(scenario: Scenario, lines: list[str]) -> Scenario:
    """The same steps with another rc."""
    first, *rest = scenario.steps
    first = msgspec.structs.replace(first, rc="\n".join([*lines, ""]))
    return msgspec.structs.replace(scenario, steps=(first, *rest))


@pytest.mark.parametrize(("name", "block"), [("pin", 0), ("fingerprint", 1)])
def test_page_shows_the_rc_that_the_scenario_runs(name: str, block: int) -> None:
    shown = re.findall(r"```lftp\n(.*?)```", DOCUMENT, re.DOTALL)[block].strip()
    run = "\n".join(rc_lines(hardened(name)))
    assert FINGERPRINT.sub("{sha1:genuine}", shown).replace("~/.lftp", "{lftp}") == run


def test_every_named_scenario_exists() -> None:
    named = set(re.findall(r"`((?:attack|document|rc|login)/[a-z0-9-]+)`", DOCUMENT))
    assert len(named) > 25
    assert [each for each in sorted(named) if not (ROOT / f"scenarios/{each}.scenario.toml").is_file()] == []


@pytest.mark.lftp
@pytest.mark.parametrize("name", ["pin", "fingerprint"])
def test_complete_rc_passes(client: Lftp, name: str) -> None:
    """Otherwise the next test would prove nothing."""
    scenario = hardened(name)
    assert len(scenario.steps) >= 10
    assert run_scenario(scenario, client, Options(controls=False)).status == "pass"


@pytest.mark.lftp
@pytest.mark.parametrize("left_out", range(3))
@pytest.mark.parametrize("name", ["pin", "fingerprint"])
@pytest.mark.long
def test_rc_without_one_of_its_lines_fails(client: Lftp, name: str, left_out: int) -> None:
    """Without any one line, at least one step fails: an attacker gets through, or nothing works."""
    scenario = hardened(name)
    lines = rc_lines(scenario)
    assert len(lines) == 3
    del lines[left_out]
    result = run_scenario(with_rc(scenario, lines), client, Options(controls=False))
    assert result.status == "fail", [step.judgement for step in result.steps]
