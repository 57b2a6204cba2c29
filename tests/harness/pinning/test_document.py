"""The document's procedure, checked against the contract: the parts that it leaves to its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.pinning.contract import REQUIREMENTS
from ftps_harness.pinning.document import FAILS, FAILS_WITH_PATH, SCRIPT, SCRIPT_WITH_PATH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftps_harness.pinning.check import Result

    CheckTool = Callable[..., dict[str, Result]]

pytestmark = pytest.mark.long

IDS = tuple(each.id for each in REQUIREMENTS if not each.if_claimed)


@pytest.mark.parametrize(("script", "fails"), [(SCRIPT, FAILS), (SCRIPT_WITH_PATH, FAILS_WITH_PATH)])
def test_document_fails_exactly_the_listed_requirements(
    script: str, fails: tuple[str, ...], check_tool: CheckTool, tmp_path: Path
) -> None:
    again = f"{tmp_path / 'tool'} {{host}} {{port}}"
    found = check_tool(script, *IDS, repin=again, timeout=9.0)
    assert {name for name, result in found.items() if result.status == "fail"} == set(fails)
    assert {result.status for result in found.values()} == {"pass", "fail"}
