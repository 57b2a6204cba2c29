"""What passes between a server's owner and the agent that runs it elsewhere: a line of JSON each way for every call.

Pure: nothing here opens a socket. `remote.handle` calls, `remote.agent` answers. Testimony and wire
arrive equal to what was sent; a certificate arrives with the same bytes, the same key and the same issuers.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Raw, Struct

from ftps_lab.certificates import Certificate, PrivateKey
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.scripted.steps import PlainStep, StartTls

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ftps_lab.scripted.steps import Script

Returned = TypeVar("Returned")


class SentCertificate(Struct, frozen=True):
    """A `Certificate` with what is above it, as PEM."""

    name: str
    certificate: str
    key: str
    issuer: SentCertificate | None = None


Value = str | int | float | bool | None | SentCertificate | list[str | SentCertificate]
"""What a field of a `ServerSpec` can hold; its tuples travel as lists."""

SentSpec = dict[str, Value]
"""A `ServerSpec` by the names of its fields, all of them: a field that is added later travels too."""


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
"""What an agent can be asked: to say which versions it has, to start a server, the methods of
`ftps_lab.interface.Server`, and those of `ftps_lab.scripted.ScriptedServer`."""


class Start(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which server to start; `host` empty means this machine's own address on its network."""

    kind: str
    root: str
    password: str
    users: tuple[str, ...] = ()
    host: str = ""
    port: int = 21


class SentTls(Struct, frozen=True, tag="StartTls", forbid_unknown_fields=True):
    """A `StartTls` as it travels: its certificates by their place in `StartScripts.certificates`."""

    certificate: int
    chain: tuple[int, ...] | None
    versions: tuple[str, ...]


class StartScripts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which scripted server to start: a certificate travels once, however often it is sent."""

    scripts: tuple[tuple[PlainStep | SentTls, ...], ...]
    certificates: tuple[SentCertificate, ...] = ()
    host: str = ""
    port: int = 0


class Call(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One call of a method.

    Attributes:
        number: Its result says the same: one that comes late is never taken for another's.
        method: Which.
        server: The server that `Serving.server` named: an owner of one that was stopped never speaks to its successor.
        start: For ``serve``.
        spec: For ``serve``, ``change`` and ``change_after``.
        scripts: For ``serve_scripts``.
        timeout: For ``settle``, ``finish`` and ``connections``, in seconds.
        after: For ``change_after``: how many control connections still meet the server as it is.
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
    """The server is ready at this address: what ``serve`` and ``serve_scripts`` return."""

    server: int
    host: str
    port: int


class Result(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What came of the call of this number; 0 where the number could not be read.

    Attributes:
        value: What the method returned.
        failure: Why it could not be done; empty if it was.
        bug: Nobody foresaw that.
    """

    number: int
    value: Raw = Raw(b"null")
    failure: str = ""
    bug: bool = False


def line(message: Call | Result) -> bytes:
    """One line, its newline included: JSON has none of its own (RFC 8259 section 7 escapes them in strings)."""
    return msgspec.json.encode(message) + b"\n"


def result(number: int, value: object) -> Result:
    """What a method returned."""
    return Result(number=number, value=Raw(msgspec.json.encode(value)))


def read_call(text: bytes) -> Call:
    """The call in a line.

    Raises:
        LabError: There is none.
    """
    try:
        return _decode(text, Call)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(f"this is no order of this version of ftps-lab: {error}") from None


def read_result(text: bytes) -> Result:
    """The result in a line.

    Raises:
        LabError: There is none.
    """
    try:
        return _decode(text, Result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(f"the agent's answer {shortened(text)!r} is none of this version of ftps-lab: {error}") from None


def value_of(result: Result, expected: type[Returned]) -> Returned:
    """What a method returned.

    Raises:
        LabError: That is nothing of this type.
    """
    try:
        return _decode(result.value, expected)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = shortened(bytes(result.value))
        raise LabError(f"it answered {shown} where {expected.__name__} was due: {error}") from None


def shortened(text: bytes, most: int = 120) -> str:
    """The beginning of a line, for a sentence."""
    shown = text.decode("utf-8", "replace").rstrip("\n")
    return shown if len(shown) <= most else shown[:most] + "…"


def sent_spec(spec: ServerSpec) -> SentSpec:
    """A spec as it travels."""
    return {field.name: _sent(getattr(spec, field.name)) for field in fields(spec)}


def received_spec(sent: SentSpec) -> ServerSpec:
    """The spec that travelled.

    Raises:
        LabError: It has a field that this version does not know, or a certificate that cannot be read.
    """
    known: dict[SentCertificate, Certificate] = {}
    values = {name: _received(value, known) for name, value in sent.items()}
    try:
        return ServerSpec(**values)  # type: ignore[arg-type]  # by name and value what `sent_spec` took apart
    except TypeError as error:
        raise LabError(f"this is no server of this version of ftps-lab: {error}") from None


def sent_scripts(scripts: Sequence[Script], *, host: str = "", port: int = 0) -> StartScripts:
    """Scripts as they travel."""
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
    """The scripts that travelled.

    Raises:
        LabError: A certificate cannot be read, or is missing.
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
        raise LabError("these are no scripts of this version of ftps-lab: a certificate is missing") from None


def _decode(text: bytes | Raw, kind: type[Returned]) -> Returned:
    decoder: msgspec.json.Decoder[Returned] = _decoder(cast("Hashable", kind))
    return decoder.decode(text)


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _sent(value: object) -> Value:
    if isinstance(value, Certificate):
        issuer = None if value.issuer is None else _sent_certificate(value.issuer)
        return SentCertificate(value.name, value.pem.decode(), value.key_pem.decode(), issuer)
    if isinstance(value, tuple):
        return [item if isinstance(item, str) else _sent_certificate(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a ServerSpec that holds a {type(value).__name__} cannot be sent: teach remote.orders how")


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
    """One object for each certificate, as it was before: who compares by identity is not misled."""
    if sent not in known:
        issuer = None if sent.issuer is None else _certificate(sent.issuer, known)
        try:
            certificate = x509.load_pem_x509_certificate(sent.certificate.encode())
            # The check of an RSA key takes 100 ms and more; these keys were made a moment ago.
            key = load_pem_private_key(sent.key.encode(), password=None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise LabError(f"the certificate {sent.name!r} cannot be read here: {error}") from error
        if not isinstance(key, PrivateKey):
            raise LabError(f"the key of {sent.name!r} is a {type(key).__name__}: use one of EC, RSA or Ed25519")
        known[sent] = Certificate(sent.name, certificate, key, issuer)
    return known[sent]
