"""The reference tool keeps every requirement of the contract, by file and by fingerprint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ftps_harness
import ftps_lab
from ftps_harness.pinning.check import Checker
from ftps_harness.pinning.command import load
from ftps_harness.pinning.contract import REQUIREMENTS
from ftps_harness.play.places.sealed import SealedPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.contract import Requirement

PIN = f"{sys.executable} -m ftps_harness pin {{host}} --port {{port}}"

SEEN = [
    Path(sys.prefix) / "pyvenv.cfg",
    Path(sys.base_prefix) / "bin/python",
    *(Path(str(each.__file__)).parents[1] / "any" for each in (ftps_harness, ftps_lab)),
    *(Path(path) / "any" for path in sys.path if Path(path).is_dir()),
]
"""Files whose folders the sandbox must show: this Python, its packages, and ours."""


@pytest.fixture(scope="module", params=["file", "fingerprint"])
def checker(request: pytest.FixtureRequest, client: Lftp, sealed_here: None) -> Iterator[Checker]:
    """Tries requirements on `ftps-lab pin`, in both of its ways."""
    command = f"{PIN} --by {request.param}"
    tool = load(command.split(), f"{command} --replace", f"{command} --expect {{sha256}}", Path("/"))
    with SealedPlaces([client.path, *tool.programs, *SEEN]) as places:
        found = Checker(tool, client, places, 20.0, {})
        assert not found.begin()
        yield found


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: each.id)
def test_the_reference_tool_keeps_it(checker: Checker, requirement: Requirement) -> None:
    result = checker.play(requirement)
    assert (result.status, result.failures) == ("pass", ())
