"""The messages between a server's owner and the agent that runs it elsewhere: a line of JSON each way for every call.

Pure: nothing here opens a socket. `remote.handle` calls, `remote.agent` answers. Testimony and wire arrive equal to
what was sent; a certificate arrives with the same bytes, the same key and the same issuers.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Raw, Struct

from ftps_lab.certificates import Certificate, PrivateKey
from ftps_lab.conversion import decode
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.scripted.steps import PlainStep, StartTls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_lab.scripted.steps import Script

Returned = TypeVar("Returned")


class SentCertificate(Struct, frozen=True):
    """A `Certificate` and its issuers, as PEM."""

    name: str
    certificate: str
    key: str
    issuer: SentCertificate | None = None


Value = str | int | float | bool | None | SentCertificate | list[str | SentCertificate]
"""The possible values of a `ServerSpec` field; tuples are sent as lists."""

SentSpec = dict[str, Value]
"""A `ServerSpec` by the names of all its fields, so that a field added later is sent too."""


Method = Literal[
    "ping",
    "serve",
    "change",
    "change_after",
    "begin",
    "record",
    "settle",
    "testimony",
    "wire",
    "finish",
    "stop",
    "serve_scripts",
    "connections",
]
"""The methods of an agent: reporting its versions, starting a server, the methods of `ftps_lab.interface.Server`, and
those of `ftps_lab.scripted.ScriptedServer`."""


class Start(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which server to start; an empty `host` means this machine's own address on its network."""

    kind: str
    root: str
    password: str
    users: tuple[str, ...] = ()
    host: str = ""
    port: int = 21


class SentTls(Struct, frozen=True, tag="StartTls", forbid_unknown_fields=True):
    """A `StartTls` as sent: its certificates by their index in `StartScripts.certificates`."""

    certificate: int
    chain: tuple[int, ...] | None
    versions: tuple[str, ...]


class StartScripts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which scripted server to start: each certificate is sent once, however often it is used."""

    scripts: tuple[tuple[PlainStep | SentTls, ...], ...]
    certificates: tuple[SentCertificate, ...] = ()
    host: str = ""
    port: int = 0


class Call(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One call of a method.

    Attributes:
        number: Its result has the same number, so a late result is never taken for another call's.
        method: Its name.
        server: The number from `Serving.server`, so that the owner of a stopped server never reaches its successor.
        start: For ``serve``.
        spec: For ``serve``, ``change`` and ``change_after``.
        scripts: For ``serve_scripts``.
        timeout: For ``settle``, ``finish`` and ``connections``, in seconds.
        after: For ``change_after``: how many control connections still get the unchanged server.
    """

    number: int
    method: Method
    server: int = 0
    start: Start | None = None
    spec: SentSpec | None = None
    scripts: StartScripts | None = None
    timeout: float = 0.0
    after: int = 0


class Serving(Struct, frozen=True):
    """The address of the ready server: the result of ``serve`` and ``serve_scripts``."""

    server: int
    host: str
    port: int


class Result(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The result of the call with this number; 0 if the number could not be parsed.

    Attributes:
        value: The method's return value.
        failure: Why the call failed; empty if it succeeded.
        bug: The failure is an unexpected exception.
    """

    number: int
    value: Raw = Raw(b"null")
    failure: str = ""
    bug: bool = False


def line(message: Call | Result) -> bytes:
    """One line, including its newline; the JSON itself has none (RFC 8259 section 7 escapes them in strings)."""
    return msgspec.json.encode(message) + b"\n"


def result(number: int, value: object) -> Result:
    """A method's result as a line."""
    return Result(number=number, value=Raw(msgspec.json.encode(value)))


def read_call(text: bytes) -> Call:
    """The call in a line.

    Raises:
        LabError: The line is not a call.
    """
    try:
        return decode(text, Call)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(f"invalid call for this version of ftps-lab: {error}") from None


def read_result(text: bytes) -> Result:
    """The result in a line.

    Raises:
        LabError: The line is not a result.
    """
    try:
        return decode(text, Result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(
            f"invalid answer from the agent for this version of ftps-lab: {shortened(text)!r}: {error}"
        ) from None


def value_of(result: Result, expected: type[Returned]) -> Returned:
    """A method's return value.

    Raises:
        LabError: It does not have this type.
    """
    try:
        return decode(result.value, expected)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = shortened(bytes(result.value))
        raise LabError(f"the answer is {shown}, not a value of type {expected.__name__}: {error}") from None


def shortened(text: bytes, most: int = 120) -> str:
    """The beginning of a line, for a message."""
    shown = text.decode("utf-8", "replace").rstrip("\n")
    return shown if len(shown) <= most else shown[:most] + "…"


def sent_spec(spec: ServerSpec) -> SentSpec:
    """A spec in the form in which it is sent."""
    return {field.name: _sent(getattr(spec, field.name)) for field in fields(spec)}


def received_spec(sent: SentSpec) -> ServerSpec:
    """The spec that was received.

    Raises:
        LabError: It has a field that this version does not know, or an unreadable certificate.
    """
    known: dict[SentCertificate, Certificate] = {}
    values = {name: _received(value, known) for name, value in sent.items()}
    try:
        return ServerSpec(**values)  # type: ignore[arg-type]  # by name and value what `sent_spec` took apart
    except TypeError as error:
        raise LabError(f"invalid server for this version of ftps-lab: {error}") from None


def sent_scripts(scripts: Sequence[Script], *, host: str = "", port: int = 0) -> StartScripts:
    """Scripts in the form in which they are sent."""
    places: dict[int, int] = {}
    certificates: list[SentCertificate] = []

    def place(certificate: Certificate) -> int:
        if id(certificate) not in places:
            places[id(certificate)] = len(certificates)
            certificates.append(_sent_certificate(certificate))
        return places[id(certificate)]

    def sent(step: PlainStep | StartTls) -> PlainStep | SentTls:
        if not isinstance(step, StartTls):
            return step
        chain = None if step.chain is None else tuple(place(each) for each in step.chain)
        return SentTls(place(step.certificate), chain, step.versions)

    steps = tuple(tuple(sent(step) for step in script) for script in scripts)
    return StartScripts(scripts=steps, certificates=tuple(certificates), host=host, port=port)


def received_scripts(order: StartScripts) -> tuple[Script, ...]:
    """The scripts that were received.

    Raises:
        LabError: A certificate is unreadable or missing.
    """
    known: dict[SentCertificate, Certificate] = {}
    certificates = [_certificate(each, known) for each in order.certificates]

    def received(step: PlainStep | SentTls) -> PlainStep | StartTls:
        if not isinstance(step, SentTls):
            return step
        chain = None if step.chain is None else tuple(certificates[at] for at in step.chain)
        return StartTls(certificates[step.certificate], chain, step.versions)

    try:
        return tuple(tuple(received(step) for step in script) for script in order.scripts)
    except IndexError:
        raise LabError("invalid scripts for this version of ftps-lab: a certificate is missing") from None


def _sent(value: object) -> Value:
    if isinstance(value, Certificate):
        issuer = None if value.issuer is None else _sent_certificate(value.issuer)
        return SentCertificate(value.name, value.pem.decode(), value.key_pem.decode(), issuer)
    if isinstance(value, tuple):
        return [item if isinstance(item, str) else _sent_certificate(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"cannot send a ServerSpec with a {type(value).__name__}: add the type to remote.orders")


def _sent_certificate(certificate: Certificate) -> SentCertificate:
    sent = _sent(certificate)
    assert isinstance(sent, SentCertificate)
    return sent


def _received(value: Value, known: dict[SentCertificate, Certificate]) -> object:
    if isinstance(value, SentCertificate):
        return _certificate(value, known)
    if isinstance(value, list):
        return tuple(item if isinstance(item, str) else _certificate(item, known) for item in value)
    return value


def _certificate(sent: SentCertificate, known: dict[SentCertificate, Certificate]) -> Certificate:
    """Build one object for each certificate, as on the sender's side, so that comparison by identity works."""
    if sent not in known:
        issuer = None if sent.issuer is None else _certificate(sent.issuer, known)
        try:
            certificate = x509.load_pem_x509_certificate(sent.certificate.encode())
            # Checking an RSA key takes 100 ms and more; these keys were made a moment ago.
            key = load_pem_private_key(sent.key.encode(), password=None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise LabError(f"the certificate {sent.name!r} cannot be read here: {error}") from error
        if not isinstance(key, PrivateKey):
            raise LabError(f"the key of {sent.name!r} is a {type(key).__name__}: use one of EC, RSA or Ed25519")
        known[sent] = Certificate(sent.name, certificate, key, issuer)
    return known[sent]
