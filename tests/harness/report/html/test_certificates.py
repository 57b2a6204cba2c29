"""Certificates side by side: every field is read back; only differences and faults are marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from tests.harness.report.html.outline import EVIL, Outline
from tests.harness.report.results import PASSED, attempt, scenario, step
from tests.harness.report.results import run as build_run

from ftps_harness.play.runner import ScenarioResult
from ftps_harness.report.html import run as run_page
from ftps_harness.report.html.certificates import compare, comparisons
from ftps_lab.certificates import Certificate, CertificateSpec, issue, twins
from ftps_lab.interface import ServerSpec
from ftps_lab.testimony import Connection, Handshake, Testimony

if TYPE_CHECKING:
    from ftps_harness.report.html.certificates import Comparison

NOW = datetime.now(UTC)


def new_certificate(**fields: Any) -> Certificate:
    """A certificate with these fields."""
    return issue({"it": CertificateSpec(**fields)})["it"]


def wrong_fields(compared: Comparison) -> dict[str, str]:
    """The fields marked as wrong."""
    return {row.name: row.wrong for row in compared.rows if row.wrong}


def test_genuine_valid_certificate_has_no_wrong_field() -> None:
    it = new_certificate()
    compared = compare(it.x509, it.x509, "localhost", NOW)
    assert compared.same
    assert wrong_fields(compared) == {}
    assert not any(row.differs for row in compared.rows)


def test_twin_differs_only_in_key_and_fingerprint() -> None:
    it = new_certificate()
    compared = compare(twins({"it": it})["it"].x509, it.x509, "localhost", NOW)
    assert [row.name for row in compared.rows if row.differs] == ["Public key, SHA-256", "Fingerprint, SHA-256"]
    assert wrong_fields(compared) == {"Public key, SHA-256": "not the genuine key"}


@pytest.mark.parametrize(
    ("fields", "host", "field", "why"),
    [
        (
            {"common_name": "other.example", "names": ("other.example",)},
            "ftp.example",
            "Names (SAN)",
            "does not name ftp.example",
        ),
        ({"not_after": "-1h"}, "localhost", "Valid until", "expired"),
        ({"not_before": "+1h"}, "localhost", "Valid from", "not yet valid"),
        ({"usage": "client"}, "localhost", "Extended key usage", "not for servers"),
    ],
)
def test_only_the_wrong_field_is_marked(fields: dict[str, Any], host: str, field: str, why: str) -> None:
    it = new_certificate(**fields)
    found = wrong_fields(compare(it.x509, it.x509, host, NOW))
    assert list(found) == [field]
    assert found[field].startswith(why)


def test_validity_is_judged_by_the_clients_clock() -> None:
    it = new_certificate()
    late = compare(it.x509, it.x509, "localhost", NOW + timedelta(days=4000))
    assert list(wrong_fields(late)) == ["Valid until"]


@pytest.mark.parametrize(
    ("names", "host", "fits"),
    [
        (("*.example.test",), "ftp.example.test", True),
        (("*.example.test",), "a.b.example.test", False),
        (("*.example.test",), "example.test", False),
        (("FTP.example.test",), "ftp.EXAMPLE.test.", True),
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("other.test",), "localhost", False),  # with a SAN, the common name does not count
    ],
)
def test_host_name_matches_as_in_rfc_6125(names: tuple[str, ...], host: str, fits: bool) -> None:
    it = new_certificate(names=names)
    assert ("Names (SAN)" not in wrong_fields(compare(it.x509, it.x509, host, NOW))) is fits


def test_fields_equal_those_that_cryptography_reads() -> None:
    it = new_certificate()
    values = {row.name: row.shown for row in compare(it.x509, None).rows}
    assert values["Fingerprint, SHA-256"] == it.sha256
    assert int(values["Serial number"], 16) == it.x509.serial_number
    assert values["Subject"] == it.x509.subject.rfc4514_string()
    key = it.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert bytes.fromhex(values["Key identifier (SKI)"].replace(":", "")) == key
    assert values["Valid until"].startswith(f"{it.x509.not_valid_after_utc:%Y-%m-%d %H:%M:%S}")
    assert values["Names (SAN)"] == "DNS localhost"


def attempt_with_handshakes(spec: ServerSpec, *handshakes: Handshake) -> Any:
    """A run that saw these handshakes."""
    connections = (Connection(1, "control", ("127.0.0.1", 1), 0.0), Connection(2, "data", ("127.0.0.1", 2), 0.1))
    told = Testimony("genuine", connections, handshakes)
    return replace(attempt(), testimony=told, spec=spec, host="localhost", date=NOW)


def test_only_certificates_shown_in_a_handshake_are_compared() -> None:
    it, other = new_certificate(), new_certificate()
    spec = ServerSpec(certificate=it, data_certificate=other)
    finished = Handshake(1, True, "TLSv1.3", "", None, it.sha256)
    assert comparisons(attempt_with_handshakes(spec), it) == ()
    [one] = comparisons(attempt_with_handshakes(spec, finished), it)
    assert (one.title, one.same) == ("The certificate shown on control connections", True)
    both = comparisons(
        attempt_with_handshakes(spec, finished, replace(finished, connection=2, certificate=other.sha256)), it
    )
    assert [each.same for each in both] == [True, False]
    assert both[1].wrong == ("not the genuine key",)


def test_handshake_that_failed_early_shows_no_certificate() -> None:
    it = new_certificate()
    failed = Handshake(1, False, "", "", None, it.sha256, "the attacker closed the connection")
    assert comparisons(attempt_with_handshakes(ServerSpec(certificate=it), failed), it) == ()


def test_hostile_subject_is_escaped() -> None:
    it = new_certificate(common_name=EVIL.replace("\x00", "")[:60], names=("localhost",))
    of = scenario()
    run = attempt_with_handshakes(ServerSpec(certificate=it), Handshake(1, True, "TLSv1.3", "", None, it.sha256))
    result = replace(step(of, PASSED, run), genuine=new_certificate())
    outline = Outline(run_page.text([build_run(ScenarioResult(of, "pass", steps=(result,)))]))
    assert outline.unbalanced == []
    assert "img" not in outline.tags
    assert "does not name" not in outline.said
    assert "differs" in outline.said
