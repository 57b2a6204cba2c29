"""Fixtures that the tests of the harness share: this machine's lftp, identified once, and scenarios in a few words."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ftps_harness.client import lftp as driver
from ftps_harness.client.lftp import Lftp, find, identify
from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.play.places.loopback import Place
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.scenario import Scenario


@pytest.fixture(scope="session")
def client(pytestconfig: pytest.Config) -> Lftp:
    """The lftp to test with: ``--lftp``, FTPS_LAB_LFTP, or the one on PATH."""
    return identify(find(pytestconfig.getoption("--lftp")))


def builds() -> list[str | None]:
    """Paths; None is the build on PATH."""
    named = os.environ.get("FTPS_LAB_LFTP_BUILDS", "")
    return [path for path in named.split(os.pathsep) if path] or [None]


@pytest.fixture(scope="module", params=builds(), ids=lambda path: Path(path).name if path else "lftp")
def each_lftp(request: pytest.FixtureRequest) -> Lftp:
    """The builds of FTPS_LAB_LFTP_BUILDS in turn; without it, the build on PATH."""
    try:
        return identify(find(request.param))
    except (HarnessError, UsageError) as missing:
        pytest.skip(str(missing))


@dataclass
class Play:
    """Plays short scenarios, with the real lftp unless another is named.

    The certificates are `genuine`, `stranger` and `expired`; `genuine` is served and saved in ~/.lftp/mycert.crt. The
    expectation applies to all dialects.
    """

    client: Lftp
    pin = 'set ssl:ca-file "{lftp}/mycert.crt"\nset ftp:ssl-protect-data yes\n'
    untrusted = 'verdict = "rejected"\nreason = "untrusted"'

    def step(self, expect: str, *, rc: str | None = None, keys: str = "", title: str = "it") -> str:
        """One step; with a pin unless `rc` says otherwise."""
        rc = self.pin if rc is None else rc
        files = 'files = { "mycert.crt" = "cert:genuine" }'
        return f"[[step]]\ntitle = '{title}'\n{files}\nrc = '''\n{rc}\n'''\n{keys}\n[step.expect]\n{expect}\n"

    def scenario(self, *steps: str, server: str = "") -> Scenario:
        """A scenario with these steps; `server` holds further keys of its server."""
        certificates = '[certificates.genuine]\n[certificates.stranger]\n[certificates.expired]\nnot_after = "-1h"\n'
        head = f'schema = 1\ntitle = "t"\nwhy = "w"\n{certificates}[server]\n'
        certificate = "" if "certificate =" in server or "plain" in server else 'certificate = "genuine"\n'
        return parse(head + certificate + server + "\n" + "".join(steps), "x.scenario.toml", "a/x")

    def __call__(
        self, *steps: str, server: str = "", client: Lftp | None = None, place: Place | None = None, **options: Any
    ) -> ScenarioResult:
        """Run the steps, by default with a generous time limit."""
        options = {"timeout": 20.0, **options}
        return run_scenario(self.scenario(*steps, server=server), client or self.client, Options(**options), place)


@pytest.fixture(scope="session")
def sealed_here() -> None:
    """Tests that use this need a sandbox; if the kernel permits none, they skip with the reason that doctor gives."""
    from ftps_harness.sandbox.sandbox import why_none

    if why := why_none():
        pytest.skip(why)


@pytest.fixture(scope="module")
def sealed(sealed_here: None, client: Lftp) -> Iterator[Sealed]:
    """A sealed place for the tests of one module."""
    from ftps_harness.play.places.sealed import Sealed

    with Sealed([client.path]) as place:
        yield place


@pytest.fixture
def play(client: Lftp) -> Play:
    """Plays short scenarios."""
    return Play(client)


@pytest.fixture
def single_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """An lftp that tries only once, for tests in which a retry cannot succeed."""
    settings_of_ours = driver.settings_of_ours

    def settings(host: str, **_: object) -> list[str]:
        return [*settings_of_ours(host), "command set net:max-retries 1"]

    monkeypatch.setattr(driver, "settings_of_ours", settings)


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This test's folder for temporary files; at the end it must be empty and no server may be running."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftps-lab:")] == []


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder outside the checkout, and a temporary folder that must be empty at the end."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield tmp_path
    assert list(temporary.iterdir()) == []
