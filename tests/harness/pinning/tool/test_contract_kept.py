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

pytestmark = pytest.mark.long

PIN = f"{sys.executable} -m ftps_harness pin {{host}} --port {{port}}"

SEEN = [
    Path(sys.prefix) / "pyvenv.cfg",
    Path(sys.base_prefix) / "bin/python",
    *(Path(str(each.__file__)).parents[1] / "any" for each in (ftps_harness, ftps_lab)),
    *(Path(path) / "any" for path in sys.path if Path(path).is_dir()),
]
"""Files whose folders the sandbox must show: this Python, its packages, and our code."""


WAY_MATTERS = {
    *("connects", "impostor-refused", "verification-on", "change-refused", "repin", "idempotent", "two-hosts"),
    *("opposing-lines", "hosts-kept-apart", "tls-demanded", "failure-writes-nothing", "chain-works"),
}
"""Requirements also tried by fingerprint; the same code keeps all others."""

CASES = [
    (way, each) for way in ("file", "fingerprint") for each in REQUIREMENTS if way == "file" or each.id in WAY_MATTERS
]


@pytest.fixture(scope="module")
def places(client: Lftp, sealed_here: None) -> Iterator[SealedPlaces]:
    """Sealed places in which the tool can start."""
    with SealedPlaces([client.path, *SEEN]) as found:
        yield found


@pytest.mark.parametrize(("way", "requirement"), CASES, ids=lambda each: getattr(each, "id", each))
def test_reference_tool_keeps_the_requirement(
    way: str, requirement: Requirement, client: Lftp, places: SealedPlaces
) -> None:
    command = f"{PIN} --by {way}"
    tool = load(command.split(), f"{command} --replace", f"{command} --expect {{sha256}}", Path("/"))
    result = Checker(tool, client, places, 20.0, {}).play(requirement)
    assert (result.status, result.why) == ("pass", "")
