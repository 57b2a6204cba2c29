"""Fixtures for the tests of pin-check: tools under test, and requirements checked on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.pinning.check import Checker, Result
from ftps_harness.pinning.command import load
from ftps_harness.pinning.contract import by_id
from ftps_harness.play.places.sealed import SealedPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ftps_harness.client.lftp import Lftp

TOOLS = Path(__file__).parent / "tools"
"""Tools under test."""


@pytest.fixture
def check_tool(client: Lftp, sealed_here: None, tmp_path: Path) -> Callable[..., dict[str, Result]]:
    """Checks requirements on a tool, named or given as a script's text: ``check_tool("small.sh", "connects", …)``.

    With ``options=True`` the tool takes ``--replace`` and ``--expect SHA256``; ``quick`` names requirements for which
    one case is enough.
    """

    def play(
        tool: str,
        *ids: str,
        repin: str | None = None,
        fingerprint: str | None = None,
        options: bool = False,
        quick: Collection[str] = (),
        timeout: float = 20.0,
        **not_claimed: str,
    ) -> dict[str, Result]:
        path = TOOLS / tool
        if tool.startswith("#!"):
            path = tmp_path / "tool"
            path.write_text(tool, "utf-8")
            path.chmod(0o755)
        _needs_interpreter(path)
        if options:
            repin, fingerprint = f"{path} --replace {{host}} {{port}}", f"{path} --expect {{sha256}} {{host}} {{port}}"
        made = load([str(path), "{host}", "{port}"], repin, fingerprint, tmp_path)
        with SealedPlaces([client.path, *made.programs]) as places:
            reasons = {name.replace("_", "-"): why for name, why in not_claimed.items()}
            checker = Checker(made, client, places, timeout, reasons)
            assert not checker.begin()
            requirements = [each for each in map(by_id, ids) if each is not None]
            assert len(requirements) == len(ids)
            return {each.id: replace(checker, quick=each.id in quick).play(each) for each in requirements}

    return play


def _needs_interpreter(script: Path) -> None:
    """Skip a test if this machine cannot start its tool."""
    interpreter = script.read_text("utf-8").partition("\n")[0].removeprefix("#!")
    if not Path(interpreter).is_file():
        pytest.skip(f"no {interpreter}: apt install {_PACKAGES.get(interpreter, Path(interpreter).name)}")


_PACKAGES = {"/usr/bin/python3": "python3", "/usr/bin/perl": "perl"}
