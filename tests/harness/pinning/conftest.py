"""What the tests of pin-check share: tools under test, and requirements tried on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.pinning.check import Checker, Result
from ftps_harness.pinning.command import load
from ftps_harness.pinning.contract import by_id
from ftps_harness.play.places.sealed import SealedPlaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.client.lftp import Lftp

TOOLS = Path(__file__).parent / "tools"
"""Tools under test."""


@pytest.fixture
def tried(client: Lftp, sealed_here: None, tmp_path: Path) -> Callable[..., dict[str, Result]]:
    """Tries requirements on a tool: ``tried("small.sh", "connects", …)``, or on one whose text is given."""

    def play(
        tool: str, *ids: str, repin: str | None = None, fingerprint: str | None = None, **not_claimed: str
    ) -> dict[str, Result]:
        path = TOOLS / tool
        if tool.startswith("#!"):
            path = tmp_path / "tool"
            path.write_text(tool)
            path.chmod(0o755)
        made = load([str(path), "{host}", "{port}"], repin, fingerprint, tmp_path)
        with SealedPlaces([client.path, *made.programs]) as places:
            reasons = {name.replace("_", "-"): why for name, why in not_claimed.items()}
            checker = Checker(made, client, places, 20.0, reasons)
            assert not checker.begin()
            requirements = [by_id(name) for name in ids]
            return {each.id: checker.play(each) for each in requirements if each is not None}

    return play
