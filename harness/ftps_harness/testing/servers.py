"""The fixture `ftps_server`: FTPS servers, and certificates for them.

On loopback they run in threads of the test's own process.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, Unpack

import trustme

from ftps_harness.errors import HarnessError
from ftps_harness.play.session import Session
from ftps_harness.scenario import servers
from ftps_harness.scenario.explain import explain
from ftps_harness.scenario.model import Server as ServerTable
from ftps_harness.testing import arguments
from ftps_harness.testing.arguments import ArgumentError, at_the_tests_line
from ftps_lab.certificates import Certificate, CertificateSpec, check, from_trustme, issue, twins
from ftps_lab.interface import ServerSpec
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ftps_harness.sandbox.secrets import Secrets
    from ftps_harness.testing.keys import CertificateKeys, ServerKeys
    from ftps_harness.testing.sealed import SealedFixtures
    from ftps_lab.interface import Server
    from ftps_lab.testimony import Testimony

__tracebackhide__ = arguments.hidden

_SERVER_KEYS = tuple(key for key in ServerTable.__struct_fields__ if key != "revoked")
_CERTIFICATES = ("certificate", "data_certificate", "attack_certificate")
_PLAIN_KEYS = ("protocol", "role", "require_tls", "tls", "user", "password", "attack", "attack_reply", "attack_how")


class ServerHandle:
    """A running FTPS server of a test.

    Attributes:
        host: The host name that a user types; the certificate is for this name.
        stopped: The server has ended, with the fixture that made it.
        session: The session that it runs in, with its secrets and served files.
    """

    def __init__(self, factory: ServerFactory, declared: ServerSpec, session: Session, folder: Path) -> None:
        self._factory = factory
        self._folder = folder
        self._declared = declared
        self._copies: dict[str, Certificate] = {}
        self.host = "localhost"
        self.stopped = False
        self.session = session
        session.serve(self._complete(declared), host=self.host)
        self._pin = self._written_pin("pin.crt") if self.spec.certificate else None

    def __repr__(self) -> str:
        attack = "" if self.spec.attack == "none" else f", attack {self.spec.attack}"
        role = "" if self.spec.role == "genuine" else f", {self.spec.role}"
        stopped = ", stopped" if self.stopped else ""
        return f"<FTPS server on port {self.port}: {self.spec.protocol}{role}{attack}{stopped}>"

    @property
    def server(self) -> Server:
        """The server itself, wherever it runs."""
        return self.session.server

    @property
    def secrets(self) -> Secrets:
        """The content that it serves, and the accepted user and password unless the server sets its own."""
        return self.session.secrets

    @property
    def root(self) -> Path:
        """The folder that it serves."""
        return self.session.root

    @property
    def spec(self) -> ServerSpec:
        """Its current properties."""
        return self.session.spec

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self.server.port

    @property
    def sealed(self) -> SealedFixtures | None:
        """The sealed place that it runs in; None on loopback."""
        return self._factory.sealed

    @property
    def certificate(self) -> Certificate | None:
        """The certificate that it presents now."""
        return self.spec.certificate

    @property
    def user(self) -> str:
        """The only user that it accepts, or a secret one: lftp logs in as this user unless a test names another."""
        return self.session.login().user

    @property
    def password(self) -> str:
        """The right password."""
        return self.session.login().password

    @property
    def pin(self) -> Path:
        """The path of its initial certificate, as PEM; it stays the same after `rotate`.

        Raises:
            ArgumentError: It had no certificate.
        """
        if self._pin is None:
            raise ArgumentError("server.pin: a plain server has no certificate to pin")
        return self._pin

    @property
    def new_pin(self) -> Path:
        """The path of its current certificate, as PEM; the path changes with the next `rotate`.

        Raises:
            ArgumentError: It has no certificate.
        """
        certificate = self.spec.certificate
        if certificate is None:
            raise ArgumentError("server.new_pin: a plain server has no certificate to pin")
        return self._written_pin(f"pin-{certificate.sha256.replace(':', '')[:16].lower()}.crt")

    @at_the_tests_line("server.rotate")
    def rotate(self, **keywords: Unpack[ServerKeys]) -> None:
        """Present another certificate from the next connection on: with a new key, unless keywords say otherwise.

        Adding or removing an attacker (`attack` and its keys) does not change the server itself.

        Args:
            **keywords: The keys of ``[server]`` that change, as for `ServerFactory`.

        Raises:
            ArgumentError: A keyword is invalid.
        """
        if not any(keyword.startswith("attack") for keyword in keywords):
            keywords.setdefault("certificate", {})
        self._declared = self._factory.spec(self._declared, keywords)
        self.session.change(self._complete(self._declared))

    def move_to(self, host: str) -> None:
        """Listen at the address to which a host leads, which is another one only in a sealed place."""
        if self.sealed is not None and not self.session.is_at(host):
            self.session.serve(self.spec, host=host)

    def testimony(self) -> Testimony:
        """The server's testimony since the start of the last lftp run."""
        return self.session.server.testimony()

    def _complete(self, spec: ServerSpec) -> ServerSpec:
        """Add an interceptor's default certificate: the server's in every field except the key."""
        if not spec.intercepted or spec.certificate is None or spec.attack_certificate is not None:
            return spec
        genuine = spec.certificate
        if genuine.sha256 not in self._copies:
            self._copies[genuine.sha256] = twins({"": genuine})[""]
        return replace(spec, attack_certificate=self._copies[genuine.sha256])

    def stop(self) -> None:
        """Stop the server; may be called repeatedly."""
        self.stopped = True
        with suppress(HarnessError):  # it could not be moved to another host, and none is left
            self.server.stop()

    def _written_pin(self, name: str) -> Path:
        assert self.spec.certificate is not None
        path = self._folder / name
        path.write_bytes(self.spec.certificate.pem)
        return path


class ServerFactory:
    """The fixture `ftps_server`: each call starts a server.

    Args:
        sealed: The sealed place to start them in; None for loopback.
    """

    def __init__(self, sealed: SealedFixtures | None = None) -> None:
        self.sealed = sealed
        self._stack = ExitStack()
        self._specs: dict[str, CertificateSpec] = {}
        self._issued: dict[str, Certificate] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @at_the_tests_line("ftps_server")
    def __call__(self, **keywords: Unpack[ServerKeys]) -> ServerHandle:
        """Start a server.

        Args:
            **keywords: The keys of ``[server]``; `certificate` is a certificate or a table of ``[certificates.*]``.

        Raises:
            ArgumentError: A keyword is invalid, or a sealed place already has a server.
            LabError: The server cannot be started.
        """
        spec = self.spec(ServerSpec(protocol="plain"), {"protocol": "explicit", "certificate": {}, **keywords})
        enter, sealed = self._stack.enter_context, self.sealed
        if sealed is not None:
            sealed.refuse_second()
        session = enter(Session(sealed.place if sealed else None))
        folder = enter(Folder("server", sealed.files if sealed else None)).path
        handle = ServerHandle(self, spec, session, folder)
        self._stack.callback(handle.stop)
        if sealed is not None:
            sealed.server = handle
        return handle

    @at_the_tests_line("ftps_server.certificate")
    def certificate(self, **keywords: Unpack[CertificateKeys]) -> Certificate:
        """Issue a certificate.

        Args:
            **keywords: The keys of ``[certificates.*]``; `issuer` and `same_key_as` take a certificate made here.

        Raises:
            ArgumentError: A keyword is invalid.
            LabError: This machine's OpenSSL refuses to issue it.
        """
        values: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in keywords.items()}
        arguments.known("certificate", values, CertificateSpec.__struct_fields__)
        for key in ("issuer", "same_key_as"):
            if isinstance(values.get(key), Certificate):
                values[key] = self._name_of(key, values[key])
        _check_certificate(values)
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        name = f"certificate-{len(self._specs) + 1}"
        specs = self._specs | {name: CertificateSpec(**values)}
        problems = [f"certificate({key}=…): {sentence}" for of, key, sentence in check(specs) if of == name]
        if problems:
            raise ArgumentError("; ".join(problems))
        self._issued = issue(specs, given=self._issued)
        self._specs = specs
        return self._issued[name]

    def spec(self, before: ServerSpec, keywords: Mapping[str, Any]) -> ServerSpec:
        """A server's data with some keys changed.

        Raises:
            ArgumentError: A keyword is invalid, alone or in combination.
        """
        arguments.known("ftps_server", keywords, _SERVER_KEYS)
        changes: dict[str, Any] = dict(keywords)
        for key in ("chain", "tls"):
            _check_list(key, changes)
        chain: Sequence[Certificate] = ()
        for key in _CERTIFICATES:
            if changes.get(key) is not None:
                changes[key], sent = self._shown(key, changes[key])
                chain = (sent if key != "attack_certificate" else ()) or chain
        changes["chain"] = tuple(changes.get("chain", chain or before.chain))
        if "tls" in changes:
            changes["tls"] = tuple(changes["tls"])
        if changes.get("protocol") == "plain" and keywords.get("certificate") == {}:
            changes["certificate"] = None
        _check(keywords, spec := replace(before, **changes))
        return spec

    def _name_of(self, key: str, certificate: Certificate) -> str:
        for name, issued in self._issued.items():
            if issued is certificate:
                return name
        raise ArgumentError(
            f"certificate({key}=…): give one made by ftps_server.certificate(…), not {certificate.name!r}"
        )

    def _shown(self, key: str, value: Any) -> tuple[Certificate, Sequence[Certificate]]:
        """A certificate and the rest of its chain: made by `certificate`, by trustme, or from a table of the format."""
        if isinstance(value, Certificate):
            return value, ()
        if isinstance(value, trustme.LeafCert):
            certificate = from_trustme(value)
            return certificate, certificate.chain
        if not isinstance(value, dict):
            made = "one made by ftps_server.certificate(…) or by trustme, or a table of [certificates.*]"
            raise ArgumentError(f"ftps_server({key}=…): give {made}, not {value!r}")
        return self.certificate(**value), ()


def _check(given: Mapping[str, Any], spec: ServerSpec) -> None:
    """Check a server by the rules of ``[server]``."""
    left_out = {key for key in ("user", "password") if given.get(key) is None}
    keys = {key: value for key, value in given.items() if key in _PLAIN_KEYS and key not in left_out}
    keys |= {key: key for key in _CERTIFICATES if given.get(key) is not None}
    server = ServerTable(
        **{key: getattr(spec, key) for key in _PLAIN_KEYS},
        certificate="certificate" if spec.certificate else None,
        data_certificate="data_certificate" if spec.data_certificate not in {None, spec.certificate} else None,
    )
    if problems := list(servers.check_keys(keys, server, list(_CERTIFICATES))):
        raise ArgumentError("; ".join(f"ftps_server({problem.key}=…): {problem.sentence}" for problem in problems))


def _check_list(key: str, changes: Mapping[str, Any]) -> None:
    """Refuse a string where a list is expected: Python would take it as a list of characters."""
    value = changes.get(key, ())
    chain = key == "chain"
    kind = Certificate if chain else str
    what = "certificates made by ftps_server.certificate(…)" if chain else "strings"
    if not isinstance(value, list | tuple) or not all(isinstance(item, kind) for item in value):
        raise ArgumentError(f"ftps_server({key}=…): give a list of {what}, not {arguments.shown_value(value)}")


def _check_certificate(values: Mapping[str, Any]) -> None:
    """Check a certificate's values by the types of ``[certificates.*]``; a datetime counts as an RFC 3339 time."""
    written = {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in values.items()
        if value is not None
    }
    if problems := list(explain(written, CertificateSpec)):
        raise ArgumentError("; ".join(f"certificate({key}=…): {sentence}" for key, sentence in problems))
