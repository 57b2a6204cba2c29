"""The table of the classroom's hosts: one host per lesson. Pure, and light because health checks read it.

example.com is the document's own name; RFC 2606 section 3 reserves it for examples. The others are names below it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from ftps_lab.certificates import CertificateSpec
from ftps_lab.interface import LAB_KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT: Final = 21

USER: Final = "student"
PASSWORD: Final = "classroom"  # noqa: S105 - not a secret: docs/classroom.md names it
"""The guest's account on all hosts; each learner has their own (`ftps_lab.classroom.learners`)."""

CHECKER: Final = "checker.address"
"""The file in the staff's folder with the checker's address: hosts do not report the checker's own connections."""

LEAF: Final = "leaf"
AUTHORITY: Final = "authority"

Fault = Literal["", "another name", "expired", "not yet valid"]
"""What a careful client reports about a host once it trusts the certificate, or the authority, that it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host.

    Attributes:
        name: Its service in compose.yaml.
        address: The name that learners type.
        about: Its lesson, in a few words.
        leaf: The certificate that it shows.
        authority: The issuer of `leaf`, unless `leaf` is self-signed.
        fault: The fault that remains once the certificate is pinned.
        server: ``lab`` for the lab's own server, or another kind of `ftps_lab.daemons`.
        attack: The attacker in front of it: a key of `ftps_lab.attackers.ATTACKS`, or ``none``.
        handed_out: File name → the certificate that the teacher gives to every student under this name.
    """

    name: str
    address: str
    about: str
    leaf: CertificateSpec
    authority: CertificateSpec | None = None
    fault: Fault = ""
    server: str = LAB_KIND
    attack: str = "none"
    handed_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def specs(self) -> dict[str, CertificateSpec]:
        """The specs of the certificates to issue."""
        return {LEAF: self.leaf} | ({AUTHORITY: self.authority} if self.authority else {})


def _leaf(name: str, **more: str) -> CertificateSpec:
    """A certificate for one name; `more` may set its issuer and its dates."""
    return CertificateSpec(common_name=name, names=(name,), **more)  # type: ignore[arg-type]  # texts only are given


_ALL: Final = (
    Host(
        name="example",
        address="example.com",
        about="self-signed: the document's server",
        leaf=_leaf("example.com"),
    ),
    Host(
        name="mismatched",
        address="mismatched.example.com",
        about="self-signed, and for another name",
        leaf=_leaf("ftp.provider.example"),
        fault="another name",
    ),
    Host(
        name="expired",
        address="expired.example.com",
        about="self-signed, and expired yesterday",
        leaf=_leaf("expired.example.com", not_before="-366d", not_after="-1d"),
        fault="expired",
    ),
    Host(
        name="not-yet-valid",
        address="not-yet-valid.example.com",
        about="self-signed, and not valid until tomorrow",
        leaf=_leaf("not-yet-valid.example.com", not_before="+1d", not_after="+366d"),
        fault="not yet valid",
    ),
    Host(
        name="rotated",
        address="rotated.example.com",
        about="self-signed, replaced at each rotate",
        leaf=_leaf("rotated.example.com"),
    ),
    Host(
        name="issued",
        address="issued.example.com",
        about="issued by the classroom's authority",
        leaf=_leaf("issued.example.com", issuer=AUTHORITY),
        authority=CertificateSpec(common_name="Classroom authority", names=(), key_usage=("keyCertSign", "cRLSign")),
        handed_out={"classroom-authority.crt": AUTHORITY},
    ),
    Host(
        name="intercepted",
        address="intercepted.example.com",
        about="an interceptor with a copy of the certificate",
        leaf=_leaf("intercepted.example.com"),
        attack="intercept",
        handed_out={"intercepted.crt": LEAF},
    ),
    Host(
        name="stripped",
        address="stripped.example.com",
        about="an attacker on the path that denies TLS",
        leaf=_leaf("stripped.example.com"),
        attack="strip-auth",
        handed_out={"stripped.crt": LEAF},
    ),
    Host(
        name="vsftpd",
        address="vsftpd.example.com",
        about="self-signed, and served by vsftpd",
        leaf=_leaf("vsftpd.example.com"),
        server="vsftpd",
    ),
)

HOSTS: Final[Mapping[str, Host]] = {host.name: host for host in _ALL}
"""The hosts by name."""
