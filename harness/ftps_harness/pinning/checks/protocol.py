"""Ports, greetings, implicit FTPS and IPv6: ordinary servers that not every tool can handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.certificates import own
from ftps_harness.pinning.checks.failure import serving
from ftps_lab.scripted import PEERS

if TYPE_CHECKING:
    from ftps_harness.pinning.rig import Rig

_GREETINGS: Final = ("greeting-lines", "greeting-pieces")


def any_port(rig: Rig) -> None:
    """Try an unassigned port, and one that other servers use for implicit FTPS."""
    certificate = own()
    for port in rig.cases((2121, 990)):
        home = rig.home()
        rig.serve(certificate, port=port)
        ran = rig.pin(home)
        rig.expect(ran.ok, f"exit code 0 for explicit FTPS on port {port}", ran.ended)
        rig.protects(home, certificate, called=f"the genuine server on port {port}")


def greeting(rig: Rig) -> None:
    """Try a greeting of several lines (RFC 959 section 4.2), and one that arrives byte by byte."""
    certificate = own()
    for name in rig.cases(_GREETINGS):
        home = rig.home()
        with serving(rig, PEERS[name].scripts(certificate)) as port:
            ran = rig.pin(home, port=port)
        rig.expect(ran.ok, f"exit code 0: {PEERS[name].what}", ran.ended)
        rig.serve(certificate)
        rig.protects(home, certificate, called=f"the server, after {PEERS[name].what}")


def implicit(rig: Rig) -> None:
    """Try port 990, with TLS from the first byte."""
    certificate = own()
    home = rig.home()
    rig.serve(certificate, protocol="implicit", port=990)
    ran = rig.pin(home)
    rig.expect(ran.ok, "exit code 0 for implicit FTPS on port 990", ran.ended)
    rig.protects(home, certificate, called="the genuine server, implicit FTPS", protocol="implicit")


def ipv6(rig: Rig) -> None:
    """Try an address instead of a name."""
    certificate = own("::1", common_name="")
    home = rig.home()
    rig.serve(certificate, host="::1")
    ran = rig.pin(home, "::1")
    rig.expect(ran.ok, "exit code 0 for the host ::1", ran.ended)
    rig.protects(home, certificate, host="::1", called="the genuine server at ::1")
