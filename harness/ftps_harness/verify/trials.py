"""The trials played against a setup: one record for each, and the certificates that they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from ftps_harness.verify import pins
from ftps_lab.certificates import twins
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_lab.certificates import Certificate

_EVERYTHING: Final = ("list", "get", "put")

AUTH_CODES: Final = (421, 500, 502, 504, 530, 534)
"""Replies that refuse AUTH (RFC 959 section 4.2.2, RFC 4217 section 4), or end the session."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """The server that the setup is for, as the lab can play it.

    Attributes:
        certificate: The certificate that it presents and the setup accepts.
        host: Its name.
        authority: The issuer, if the setup trusts everything that it signs; None for a pinned certificate.
    """

    certificate: Certificate
    host: str
    authority: Certificate | None = None

    @property
    def spec(self) -> ServerSpec:
        """A server that presents the certificate and offers TLS, but does not require it."""
        return ServerSpec(certificate=self.certificate, chain=self.certificate.chain)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial.

    Attributes:
        name: Its name in reports.
        title: What happens, in a few words.
        kind: What an exposure means (`judge`).
        server: Makes the server that the client meets; returns None if the trial does not apply to this setup.
        run: The tasks for lftp.
        repeat: The number of runs; more than one if the result varies between runs.
        explicit: It attacks AUTH, which implicit FTPS does not have.
        anonymous: Log in without a user.
        waits: Seconds that lftp usually waits in this trial, measured with lftp 4.9.2: the longest start first.
        later: The genuine server answers the first logins of a command, and this server the others: once for each login
            at which the switch can happen.
    """

    name: str
    title: str
    kind: Literal["genuine", "impostor", "name", "expired", "strip", "prot", "data", "data-1.2", "anonymous"]
    server: Callable[[Genuine], ServerSpec | None]
    run: tuple[str, ...] = _EVERYTHING
    repeat: int = 1
    explicit: bool = False
    anonymous: bool = False
    waits: float = 0.0
    later: bool = False


def _shows(certificate: Certificate | None) -> ServerSpec | None:
    if certificate is None:
        return None
    return ServerSpec(certificate=certificate, chain=certificate.chain, role="impostor")


def _twin(genuine: Genuine) -> ServerSpec | None:
    return _shows(twins({"twin": genuine.certificate})["twin"])


def _other_authority(genuine: Genuine) -> ServerSpec | None:
    return _shows(pins.issued(pins.authority("Another authority"), genuine.host))


def _other_name(genuine: Genuine) -> ServerSpec | None:
    return _shows(genuine.authority and pins.issued(genuine.authority, "somebody-else.example"))


def _expired(genuine: Genuine) -> ServerSpec | None:
    if genuine.authority is None:
        return None
    return replace(genuine.spec, certificate=pins.issued(genuine.authority, genuine.host, not_after="-1d"))


def _attack(name: str, **keys: object) -> Callable[[Genuine], ServerSpec]:
    return lambda genuine: replace(genuine.spec, attack=name, **keys)  # type: ignore[arg-type]  # keys of ServerSpec


def _intercept(genuine: Genuine) -> ServerSpec:
    return replace(genuine.spec, attack="intercept", attack_certificate=twins({"twin": genuine.certificate})["twin"])


def _data(*tls: str) -> Callable[[Genuine], ServerSpec]:
    return lambda genuine: replace(genuine.spec, data_certificate=pins.self_signed(genuine.host), tls=tls)


GENUINE: Final = Trial("genuine", "the genuine server", "genuine", lambda genuine: genuine.spec)

TRIALS: Final = (
    Trial("impostor-copy", "an impostor whose certificate differs only in the key", "impostor", _twin),
    Trial(
        "impostor-self-signed",
        "an impostor with a self-signed certificate for the same name",
        "impostor",
        lambda genuine: _shows(pins.self_signed(genuine.host)),
    ),
    Trial(
        "impostor-expired",
        "an impostor with an expired self-signed certificate for the same name",  # a script may excuse what is expired
        "impostor",
        lambda genuine: _shows(pins.self_signed(genuine.host, not_before="-30d", not_after="-1d")),
    ),
    Trial(
        "impostor-other-authority",
        "an impostor with a certificate from an unknown authority",
        "impostor",
        _other_authority,
    ),
    Trial("intercept", "an interceptor between client and server", "impostor", _intercept),
    Trial("other-customer", "another customer of the same authority", "name", _other_name),
    Trial("expired", "the server's own certificate, expired", "expired", _expired),
    *(
        Trial(
            f"refuse-auth-{code}",
            f"AUTH refused with {code}",
            "strip",
            _attack("refuse-auth", attack_reply=code),
            explicit=True,
        )
        for code in AUTH_CODES
    ),
    Trial("strip-auth", "an attacker on the path denies TLS", "strip", _attack("strip-auth"), explicit=True),
    Trial(
        "drop-at-auth",
        "the connection is cut at AUTH",
        "strip",
        _attack("drop-at-auth"),
        ("list",),  # lftp waits a second before each retry, and the first command would already have sent a password
        explicit=True,
        waits=1.0,
    ),
    *(
        Trial(
            f"break-handshake-{how}",
            f"the TLS handshake is broken by {what}",
            "strip",
            _attack("break-handshake", attack_how=how),
            explicit=True,
        )
        for how, what in (("alert", "an alert"), ("close", "closing the connection"), ("text", "plain text"))
    ),
    Trial("refuse-prot", "PROT P is refused", "prot", _attack("refuse-prot")),
    Trial("clear-data", "the data connection answers in clear", "prot", _attack("clear-data"), ("get",), waits=0.3),
    Trial(
        "data-certificate-get",
        "an impostor on the data connection, during a download",
        "data",
        _data("1.2", "1.3"),
        ("get",),
        waits=2.0,
    ),
    Trial(
        "data-certificate-put",
        "an impostor on the data connection, during an upload",
        "data",
        _data("1.2", "1.3"),
        ("put",),
        repeat=5,
    ),
    Trial(
        "data-tls-1.2-get",
        "an impostor on the data connection with TLS 1.2, during a download",
        "data-1.2",
        _data("1.2"),
        ("get",),
        repeat=5,
    ),
    Trial(
        "anonymous",
        "a login without a user",
        "anonymous",
        lambda genuine: genuine.spec,
        ("list", "get"),
        anonymous=True,
    ),
    Trial(
        "later-impostor",
        "an impostor with a self-signed certificate, after earlier logins to the genuine server",
        "impostor",
        lambda genuine: _shows(pins.self_signed(genuine.host)),
        later=True,
    ),
    Trial(
        "later-other-customer",
        "another customer of the same authority, after earlier logins to the genuine server",
        "name",
        _other_name,
        later=True,
    ),
    Trial(
        "later-refuse-auth",
        "AUTH refused with 502, after earlier logins to the genuine server",
        "strip",
        _attack("refuse-auth", attack_reply=502),
        explicit=True,
        later=True,
    ),
)
"""All trials, in the order of reports."""
