"""What passes between a server's owner and the agent that runs it elsewhere: a line of JSON each way for every order.

Pure: nothing here opens a socket. `remote.agent` obeys these orders, `remote.handle` gives them. Testimony and wire
arrive equal to what was sent; a certificate arrives with the same bytes, the same key and the same issuers.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from ftps_lab.certificates import Certificate, PrivateKey
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.testimony import Testimony, Wire  # noqa: TC001 - msgspec reads them from here


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


class Order(Struct, frozen=True, tag_field="order", tag=str.lower, forbid_unknown_fields=True, kw_only=True):
    """Something to do.

    Attributes:
        number: Its answer says the same: one that comes late is never taken for another's.
    """

    number: int


class Ping(Order, frozen=True):
    """Say that you are there."""


class Serve(Order, frozen=True):
    """Start a server; `host` empty means this machine's own address on its network."""

    kind: str
    spec: SentSpec
    root: str
    password: str
    users: tuple[str, ...] = ()
    host: str = ""
    port: int = 21


class ServerOrder(Order, frozen=True):
    """For the server that `Serving.server` named: an owner of one that was stopped never speaks to its successor."""

    server: int


class Change(ServerOrder, frozen=True):
    """Be another server from the next connection on."""

    spec: SentSpec


class Record(ServerOrder, frozen=True):
    """Begin a new record."""


class Settle(ServerOrder, frozen=True):
    """Wait until what clients did is witnessed."""

    timeout: float


class Testify(ServerOrder, frozen=True):
    """Say what was witnessed."""


class Listen(ServerOrder, frozen=True):
    """Say which raw bytes passed."""


class Stop(ServerOrder, frozen=True):
    """End the server."""


class Answer(Struct, frozen=True, tag_field="answer", tag=str.lower, kw_only=True):
    """What came of the order of this number; 0 where the order's number could not be read."""

    number: int


class Done(Answer, frozen=True):
    """It is done, and there is nothing to say."""


class Pong(Answer, frozen=True):
    """Here I am, with these versions."""

    versions: dict[str, str]


class Serving(Answer, frozen=True):
    """The server is ready at this address."""

    server: int
    host: str
    port: int


class Settled(Answer, frozen=True):
    """Whether the record is complete."""

    complete: bool


class Told(Answer, frozen=True):
    """What was witnessed."""

    testimony: Testimony


class Heard(Answer, frozen=True):
    """Which bytes passed."""

    wire: Wire


class Failed(Answer, frozen=True):
    """It could not be done; `bug` when nobody foresaw it."""

    message: str
    bug: bool = False


AnyOrder = Ping | Serve | Change | Record | Settle | Testify | Listen | Stop
AnyAnswer = Done | Pong | Serving | Settled | Told | Heard | Failed


def line(message: Order | Answer) -> bytes:
    """One line, its newline included: JSON has none of its own (RFC 8259 section 7 escapes them in strings)."""
    return msgspec.json.encode(message) + b"\n"


def read_order(text: bytes) -> AnyOrder:
    """The order in a line.

    Raises:
        LabError: There is none.
    """
    try:
        return _orders().decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(f"this is no order of this version of ftps-lab: {error}") from None


def read_answer(text: bytes) -> AnyAnswer:
    """The answer in a line.

    Raises:
        LabError: There is none.
    """
    try:
        return _answers().decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(f"the agent's answer {shortened(text)!r} is none of this version of ftps-lab: {error}") from None


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


@cache
def _orders() -> msgspec.json.Decoder[AnyOrder]:
    return msgspec.json.Decoder(AnyOrder)


@cache
def _answers() -> msgspec.json.Decoder[AnyAnswer]:
    return msgspec.json.Decoder(AnyAnswer)


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
