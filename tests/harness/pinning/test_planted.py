"""The harness checks itself first: the run ends if a planted flaw is not found."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.conftest import TOOLS

from ftps_harness.cli import call
from ftps_harness.pinning import planted
from ftps_harness.pinning.checks import change, trust
from ftps_harness.pinning.contract import by_id
from ftps_harness.play.places.sealed import SealedPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.rig import Rig

COMMAND = ("pin-check", "--only", "fingerprint-shown", "--json", "-", "--", str(TOOLS / "small.sh"), "{host}", "{port}")


@pytest.fixture
def places(client: Lftp, sealed_here: None) -> Iterator[tuple[planted.Planted, SealedPlaces]]:
    with planted.Planted() as tools, SealedPlaces([client.path, tools.program]) as found:
        yield tools, found


def test_every_planted_tool_has_a_flaw_in_a_known_requirement() -> None:
    assert len(planted.WRONG) >= 8
    for flaw in planted.WRONG:
        assert flaw.tool != planted.RIGHT
        assert by_id(flaw.breaks) is not None


@pytest.mark.long
def test_self_check_catches_every_planted_flaw_within_15_seconds(
    places: tuple[planted.Planted, SealedPlaces], client: Lftp
) -> None:
    began = time.monotonic()
    assert planted.self_check(places[0], client, places[1], 2) == ""
    assert time.monotonic() - began < 15  # `make bench` holds it to three seconds


@pytest.mark.long
def test_check_that_always_passes_fails_the_self_check(
    sealed_here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def blind(rig: Rig) -> None:
        rig.expect(True, "anything", "anything")

    monkeypatch.setattr(trust, "impostor_refused", blind)
    assert call(COMMAND) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["requirements"] == []
    assert "misjudged its own planted tools" in err
    assert "the tool that breaks impostor-refused: pass" in " ".join(err.split())


@pytest.mark.long
def test_check_that_always_fails_fails_the_self_check(
    sealed_here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def harsh(rig: Rig) -> None:
        rig.expect(False, "nothing", "anything")

    monkeypatch.setattr(change, "fingerprint_shown", harsh)
    assert call(COMMAND) == 3
    assert "which meets fingerprint-shown: fail" in " ".join(capsys.readouterr().err.split())
