"""Wrong tools, each a right one with one flaw: the contract names the requirement that it breaks, and no other."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.conftest import TOOLS

from ftps_harness.pinning.contract import REQUIREMENTS, by_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.pinning.check import Result

    CheckTool = Callable[..., dict[str, Result]]

pytestmark = pytest.mark.long

SECONDS = 9.0
"""Limit for one run of a wrong tool; a right one gives up after 8 s if the server says nothing."""


@dataclass(frozen=True)
class Wrong:
    """One tool of `wrong.toml`."""

    name: str
    base: str
    edits: list[tuple[str, str]]
    breaks: list[str]
    keeps: list[str]

    @property
    def text(self) -> str:
        text = (TOOLS / self.base).read_text("utf-8")
        for old, new in self.edits:
            assert text.count(old) == 1, f"{self.name}: {old!r} must be in {self.base} once"
            text = text.replace(old, new)
        return text


WRONG = [
    Wrong(name, **each)
    for name, each in tomllib.loads(Path(__file__).with_name("wrong.toml").read_text("utf-8")).items()
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda each: each.name)
def test_flaw_fails_exactly_the_requirements_that_it_breaks(wrong: Wrong, check_tool: CheckTool) -> None:
    found = check_tool(
        wrong.text, *wrong.breaks, *wrong.keeps, options=True, quick=["atomic", *wrong.keeps], timeout=SECONDS
    )
    assert {name: result.status for name, result in found.items()} == {
        **dict.fromkeys(wrong.breaks, "fail"),
        **dict.fromkeys(wrong.keeps, "pass"),
    }


def test_every_must_requirement_has_a_wrong_tool() -> None:
    assert len(WRONG) >= 30
    assert {each.id for each in REQUIREMENTS if each.level == "must"} <= {each.breaks[0] for each in WRONG}
    assert all(by_id(name) is not None for each in WRONG for name in (*each.breaks, *each.keeps))
    assert {Path(each.base).suffix for each in WRONG} == {".sh", ".bash", ".pl", ".py"}
