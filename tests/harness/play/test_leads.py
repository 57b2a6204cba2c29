"""Anything that would lead lftp to another machine on an ordinary loopback is refused before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.play.places.leads import leads_outside
from ftps_harness.play.places.loopback import Loopback

if TYPE_CHECKING:
    from tests.harness.conftest import Play

pytestmark = pytest.mark.lftp

OUTSIDE = [
    ("open -u me,pw ftp://198.51.100.9; ls", "198.51.100.9"),
    ("open 198.51.100.9", "198.51.100.9"),
    ("set ftp:proxy http://proxy.corp.net:3128", "proxy.corp.net"),
    ("set dns:name/* 192.0.2.77", "192.0.2.77"),
    ("set ftp:proxy/* http://[2606:4700::1]:3128", "2606:4700::1"),
    ("open ftps://me:pw@ftp.corp.net/x", "ftp.corp.net"),
    ("get FTP://FTP.CORP.NET/x", "FTP.CORP.NET"),
]


@pytest.mark.parametrize(("line", "host"), OUTSIDE)
@pytest.mark.parametrize("where", ["rc", "run", "file"])
def test_scenario_that_names_an_outside_host_is_skipped(play: Play, line: str, host: str, where: str) -> None:
    rc = f"{line}\n" if where == "rc" else play.pin
    keys = {"rc": "", "run": f"run = ['{line}', 'ls']\n", "file": ""}[where]
    step = play.step('verdict = "accepted"', rc=rc, keys=keys)
    if where == "file":
        step = step.replace("files = {", f"files = {{ 'x' = 'text:{line}',")
    result = play(step, place=Loopback())
    assert result.status == "skip"
    assert f"names {host}," in result.why
    assert "sealed" in result.why


@pytest.mark.parametrize(
    "line",
    [
        "open ftp://127.0.0.1:1",
        "open ftps://localhost:{port}/x",
        "open ftp://{host}:{port}",
        "open ftp://nobody.example/no/such/folder",
        "set ftp:proxy ftp://127.0.0.1:{port}",
        "set dns:name/localhost 127.0.0.1",
        "# version 4.9.2 of 2026.11.28",
        "set net:socket-bind-ipv4 127.0.0.2",
    ],
)
def test_line_that_stays_in_the_lab_is_allowed(play: Play, line: str) -> None:
    (step,) = play.scenario(play.step('verdict = "accepted"', rc=f"{line}\n")).steps
    assert leads_outside(step) == ""


@pytest.mark.parametrize("host", ["192.0.2.77", "10.0.0.1", "2001:db8::1"])
def test_host_with_an_outside_address_needs_the_sealed_place(play: Play, host: str) -> None:
    result = play(play.step('verdict = "accepted"', keys=f'host = "{host}"'), place=Loopback())
    assert result.status == "skip"
    assert f"names {host}," in result.why
