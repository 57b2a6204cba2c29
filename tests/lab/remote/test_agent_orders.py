"""Objects arrive unchanged: certificates with their keys and issuers, every field of a spec, testimony and wire."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

import pytest
from tests.lab.keys import EVERY_KEY

from ftps_lab.certificates import Certificate, CertificateSpec, issue, twins
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.remote import orders
from ftps_lab.testimony import (
    Alert,
    Command,
    Connection,
    Credential,
    Handshake,
    Record,
    Testimony,
    Transfer,
    Wire,
    WireRecord,
)

if TYPE_CHECKING:
    from ftps_lab.certificates.spec import Key


def received_spec_of(spec: ServerSpec) -> ServerSpec:
    call = orders.Call(number=1, method="change", server=1, spec=orders.sent_spec(spec))
    received = orders.read_call(orders.line(call))
    assert (received.method, received.server) == ("change", 1)
    assert received.spec is not None
    return orders.received_spec(received.spec)


def same_certificate(one: Certificate | None, other: Certificate | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        (one.name, one.der, one.key_pem, one.sha256, one.sha1)
        == (other.name, other.der, other.key_pem, other.sha256, other.sha1)
        and one.x509 == other.x509
        and same_certificate(one.issuer, other.issuer)
        and [each.sha256 for each in one.chain] == [each.sha256 for each in other.chain]
    )


@pytest.mark.parametrize("key", EVERY_KEY)
def test_certificate_with_every_kind_of_key_arrives_unchanged(key: Key) -> None:
    certificate = issue({"leaf": CertificateSpec(key=key)})["leaf"]
    assert same_certificate(received_spec_of(ServerSpec(certificate=certificate)).certificate, certificate)


def test_issuers_arrive_with_their_keys() -> None:
    """Twins are made from them on the other side."""
    leaf = issue(
        {
            "root": CertificateSpec(common_name="Root"),
            "middle": CertificateSpec(issuer="root", common_name="Middle", ca=True),
            "leaf": CertificateSpec(issuer="middle"),
        }
    )["leaf"]
    received = received_spec_of(ServerSpec(certificate=leaf, chain=leaf.chain))
    assert same_certificate(received.certificate, leaf)
    assert [each.name for each in received.chain] == ["middle"]
    assert same_certificate(received.chain[0], leaf.issuer)
    assert received.certificate is not None
    assert twins({"": received.certificate})[""].sha256 != leaf.sha256


def test_every_field_of_a_spec_arrives() -> None:
    """Each has a value other than its default, because a field that did not arrive would have its default."""
    made = issue({name: CertificateSpec(common_name=name) for name in "abcd"})
    spec = ServerSpec(
        protocol="implicit",
        certificate=made["a"],
        chain=(made["b"], made["a"]),
        data_certificate=made["c"],
        role="impostor",
        require_tls=True,
        tls=("1.3",),
        user="me",
        password="it's",
        attack="intercept",
        attack_certificate=made["d"],
        attack_reply=534,
        attack_how="text",
        greeting="several\nlines",
        greeting_in_pieces=True,
    )
    default = ServerSpec()
    received = received_spec_of(spec)
    for field in fields(spec):
        value, arrived = getattr(spec, field.name), getattr(received, field.name)
        assert value != getattr(default, field.name), f"give {field.name} another value here"
        if isinstance(value, Certificate):
            assert same_certificate(arrived, value), field.name
        elif field.name == "chain":
            assert [same_certificate(*pair) for pair in zip(arrived, value, strict=True)] == [True, True]
        else:
            assert (arrived, type(arrived)) == (value, type(value)), field.name


def test_shared_certificate_stays_one_object() -> None:
    certificate = issue({"a": CertificateSpec()})["a"]
    received = received_spec_of(ServerSpec(certificate=certificate, data_certificate=certificate, chain=(certificate,)))
    assert received.certificate is received.data_certificate is received.chain[0]


def test_default_spec_arrives_unchanged() -> None:
    assert received_spec_of(ServerSpec(protocol="plain")) == ServerSpec(protocol="plain")


def test_field_of_another_version_is_an_error() -> None:
    with pytest.raises(LabError, match="invalid server for this version of ftps-lab"):
        orders.received_spec({"colour": "blue"})


def test_value_that_cannot_be_sent_is_a_type_error_at_the_sender() -> None:
    spec = replace(ServerSpec(), attack_how={"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"add the type to remote\.orders"):
        orders.sent_spec(spec)


def test_unreadable_certificate_is_an_error_with_its_name() -> None:
    sent = orders.SentCertificate(name="torn", certificate="no PEM", key="no PEM")
    with pytest.raises(LabError, match="'torn' cannot be read here"):
        orders.received_spec({"certificate": sent})


PEER = ("172.20.0.3", 40001)
TESTIMONY = Testimony(
    role="impostor",
    connections=(
        Connection(
            1, "control", PEER, 0.1 + 0.2, greeted=True, error='é\n"x"', attack="intercept", attack_effect="none"
        ),
        Connection(2, "data", ("::1", 5), 1e-9),
    ),
    handshakes=(Handshake(1, True, "TLSv1.3", "AES", None, "AA:BB"), Handshake(2, False, "", "", "h", "", "eof")),
    alerts=(Alert(1, "received", "fatal", "unknown_ca"),),
    commands=(Command(1, "USER", "müller\x00", "tls", 331), Command(1, "SITE", "", "clear")),
    credentials=(Credential(1, "u", "p\u2028w", "tls", True), Credential(1, "u", None, "clear", False)),
    transfers=(
        Transfer(2, 1, "STOR", "f", "upload", 1 << 40, "00", "tls", "AA", True, True, bytes(range(256))),
        Transfer(2, 1, "LIST", "", "download", 0, "", "clear", "", False),
    ),
    behind=Testimony(role="genuine", sources=("log", "files", "relay"), discrepancies=("one says a, one b",)),
)


WIRE = Wire((WireRecord("control", PEER, b"\n\r\x00\xff" * 1000, b""), WireRecord("data", PEER, b"", b"\n")))

Value = TypeVar("Value")


def received_value_of(value: Value) -> Value:
    """The value as the other side receives it when a method returns it."""
    text = orders.line(orders.result(1, value))
    assert text.count(b"\n") == 1
    return orders.value_of(orders.read_result(text), type(value))


def test_testimony_arrives_equal() -> None:
    received = received_value_of(TESTIMONY)
    assert received == TESTIMONY
    assert repr(received) == repr(TESTIMONY)  # tuples are tuples, None is None


def test_wire_arrives_equal_and_in_one_line() -> None:
    assert received_value_of(WIRE) == WIRE


@pytest.mark.parametrize("complete", [True, False])
def test_record_arrives_equal(complete: bool) -> None:
    record = Record(complete, TESTIMONY, WIRE)
    assert received_value_of(record) == record


def test_failed_result_has_no_value() -> None:
    received = orders.read_result(orders.line(orders.Result(number=2, failure="no", bug=True)))
    assert (received.failure, received.bug, bytes(received.value)) == ("no", True, b"null")


def test_value_of_the_wrong_type_is_an_error() -> None:
    with pytest.raises(LabError, match="the answer is true, not a value of type Testimony"):
        orders.value_of(orders.result(1, value=True), Testimony)


@pytest.mark.parametrize("text", [b"", b"\n", b"{}", b'{"value":1}', b"Traceback (most recent\n"])
def test_line_that_is_not_an_answer_is_an_error(text: bytes) -> None:
    with pytest.raises(LabError, match="invalid answer from the agent for this version of ftps-lab"):
        orders.read_result(text)


def test_long_line_is_shortened_for_messages() -> None:
    assert orders.shortened(b"x" * 500) == "x" * 120 + "…"
    assert orders.shortened(b"short\xff\n") == "short\ufffd"
