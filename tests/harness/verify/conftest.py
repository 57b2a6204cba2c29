"""One set of places for a module's setups, and a factory for setups in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from ftps_harness.client import lftp
from ftps_harness.play.places.sealed import SealedPlaces
from ftps_harness.sandbox.sandbox import Unavailable
from ftps_harness.verify.base import Options
from ftps_harness.verify.pins import self_signed
from ftps_harness.verify.subject import load
from ftps_harness.verify.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.verify.base import Report
    from ftps_lab.certificates import Certificate

HOST = "backup.example"


class Check(Protocol):
    """Verifies a setup."""

    def __call__(
        self, rc: str | bytes, files: Mapping[str, bytes] | None = None, *, rc_name: str = ".lftp/rc", **options: object
    ) -> Report:
        """Write the rc and other files below a new HOME and verify it; `only` names trials, `modes` files not 0644."""


@pytest.fixture(scope="module")  # other tests check for remaining threads
def places() -> Iterator[SealedPlaces]:
    try:
        with SealedPlaces([lftp.find()]) as opened:
            yield opened
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def client() -> Lftp:
    return lftp.identify(lftp.find())


@pytest.fixture(scope="session")
def server_certificate() -> Certificate:
    """The genuine server's certificate; no attacker has its key."""
    return self_signed(HOST)


@pytest.fixture
def check(places: SealedPlaces, client: Lftp, tmp_path: Path, server_certificate: Certificate) -> Check:
    def made(
        rc: str | bytes, files: Mapping[str, bytes] | None = None, *, rc_name: str = ".lftp/rc", **options: object
    ) -> Report:
        home = tmp_path / "home"
        home.mkdir()
        everything = {f"{rc_name.rpartition('/')[0] or '.lftp'}/server.crt": server_certificate.pem, **(files or {})}
        modes: dict[str, int] = options.pop("modes", {})  # type: ignore[assignment]  # name → mode
        everything[rc_name] = rc if isinstance(rc, bytes) else rc.encode()
        for name, data in everything.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(modes.get(name, 0o644))
        only = frozenset(options.pop("only", ()))  # type: ignore[call-overload]  # a tuple of names
        given = Options(only=only, **options)  # type: ignore[arg-type]
        return verify(load(str(home / rc_name), home), client, places, given)

    return made
