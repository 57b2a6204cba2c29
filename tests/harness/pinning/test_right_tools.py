"""Tools in several styles, as an administrator could write them: each keeps every must of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.pinning.contract import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.pinning.check import Result

    CheckTool = Callable[..., dict[str, Result]]

pytestmark = pytest.mark.long

RIGHT = ("right.sh", "right.bash", "right.pl", "right.py", "fingerprint.sh")
"""POSIX sh, bash, Perl and Python; the last one pins by fingerprint."""

MUSTS = tuple(each.id for each in REQUIREMENTS if each.level == "must")


@pytest.mark.parametrize("tool", RIGHT)
def test_right_tools_keep_every_must(tool: str, check_tool: CheckTool) -> None:
    found = check_tool(tool, *MUSTS, options=True, quick=("atomic",))
    assert {name: result.why for name, result in found.items() if result.status != "pass"} == {}
