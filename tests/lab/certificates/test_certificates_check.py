"""Impossible specs are reported with their key and a sentence; relative and absolute dates are parsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from tests.lab.certificates.readings import CHAIN, NOW, spec

from ftps_lab.certificates import CertificateSpec, check, issue, moment

LONGEST = ".".join(["x" * 63, "x" * 63, "x" * 63, "x" * 61])  # 253 bytes: 255 on the wire, RFC 1035 section 2.3.4


PROBLEMS: list[tuple[dict[str, CertificateSpec], list[tuple[str, str, str]]]] = [
    ({"a": spec(issuer="root")}, [("a", "issuer", "unknown certificate 'root'")]),
    ({"a": spec(issuer="root"), "b": spec()}, [("a", "issuer", "or one of b")]),
    ({"a": spec(issuer="a")}, [("a", "issuer", "loop")]),
    (
        {"a": spec(issuer="b"), "b": spec(issuer="a"), "c": spec(issuer="a")},
        [("a", "issuer", "loop"), ("b", "issuer", "loop")],
    ),
    ({"self": spec()}, [("self", "issuer", "rename it")]),
    ({"a": spec(same_key_as="z")}, [("a", "same_key_as", "unknown certificate 'z'")]),
    ({"a": spec(same_key_as="a")}, [("a", "same_key_as", "loop")]),
    (
        {"a": spec(same_key_as="b"), "b": spec(same_key_as="a")},
        [("a", "same_key_as", "loop"), ("b", "same_key_as", "loop")],
    ),
    (
        {"a": spec(), "b": spec(same_key_as="a"), "c": spec(same_key_as="b", key="rsa-2048")},
        [("c", "key", "the key of 'b' is ec-p256, not rsa-2048")],
    ),
    ({"a": spec(key="dsa")}, [("a", "key", "use one of ec-p256, ec-p384")]),
    ({"a": spec(signature="crc32")}, [("a", "signature", "use one of sha256")]),
    ({"a": spec(usage="mail")}, [("a", "usage", "use one of server, client, any, absent")]),
    ({"a": spec(key_usage=("keyCertsign",))}, [("a", "key_usage", "unknown value 'keyCertsign'")]),
    ({"a": spec(key_usage=())}, [("a", "key_usage", '"absent"')]),
    ({"a": spec(key_usage=("encipherOnly",))}, [("a", "key_usage", "add keyAgreement")]),
    ({"a": spec(key="ed25519", signature="sha384")}, [("a", "signature", "without a separate hash")]),
    (
        {"a": spec(issuer="b", signature="sha1"), "b": spec(same_key_as="c"), "c": spec(key="ed25519")},
        [("a", "signature", "without a separate hash")],
    ),
    ({"a": spec(signature="md5")}, [("a", "signature", "RSA")]),
    ({"a": spec(signature="md5", key="rsa-1024", issuer="b"), "b": spec()}, [("a", "signature", "RSA")]),
    ({"a": spec(path_length=1, ca=False)}, [("a", "path_length", "add ca = true")]),
    ({"a": spec(path_length=1, ca="absent")}, [("a", "path_length", "add ca = true")]),
    ({"a": spec(path_length=1, issuer="b"), "b": spec()}, [("a", "path_length", "add ca = true")]),
    ({"a": spec(path_length=-1)}, [("a", "path_length", "must be 0 or more")]),
    ({"a": spec(not_before="yesterday")}, [("a", "not_before", "-1d or +365d")]),
    ({"a": spec(not_after="-2d")}, [("a", "not_after", "is before not_before")]),
    ({"a": spec(not_before="1949-12-31T23:59:59Z")}, [("a", "not_before", "1950")]),
    ({"a": spec(not_after="-9999999999d")}, [("a", "not_after", "outside the years")]),
    ({"a": spec(common_name="x" * 65)}, [("a", "common_name", "65 bytes")]),
    ({"a": spec(names=("bücher.test",))}, [("a", "names", "xn--")]),
    *(
        ({"a": spec(names=(name,))}, [("a", "names", "neither a DNS name")])
        for name in (
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "-a",
            "a-",
            "a.*",
            "1.2.3.400",
            "127.1",
            "fe80::1%eth0",
            "10.0.0.0/8",
            "user@a.test",
            "a\0b",
            "a\n",
            "https://a.test",
            "x" * 64,
            LONGEST + "x",
        )
    ),
    (
        {"a": spec(issuer="x", usage="mail", names=("!",)), "b": spec(key="dsa")},
        [("a", "issuer", "'x'"), ("a", "names", "'!'"), ("a", "usage", "'mail'"), ("b", "key", "'dsa'")],
    ),
]


@pytest.mark.parametrize(("specs", "expected"), PROBLEMS)
def test_check_reports_every_problem_once(
    specs: dict[str, CertificateSpec], expected: list[tuple[str, str, str]]
) -> None:
    """With certificate, key, and a sentence that says what would be right."""
    found = check(specs)
    assert [(name, key) for name, key, _ in found] == [(name, key) for name, key, _ in expected]
    for (_, _, sentence), (_, _, part) in zip(found, expected, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    "specs",
    [
        {},
        CHAIN,
        {"a": spec(same_key_as="b"), "b": spec(key="rsa-2048")},
        {"a": spec(same_key_as="b", key="rsa-2048"), "b": spec(key="rsa-2048")},
        {"a": spec(key="ed25519"), "b": spec(issuer="a", signature="sha256")},
        {"a": spec(issuer="b", signature="md5"), "b": spec(key="rsa-1024")},
        {"a": spec(key="ed25519", issuer="b", signature="sha384"), "b": spec()},
        {"a": spec(not_before="+1h", not_after="+1h")},
        {"a": spec(common_name="x" * 64, names=("x" * 63, LONGEST, "a_b", "*", "f*.test"))},
        {"a": spec(key_usage=("keyAgreement", "encipherOnly"))},
        {"a": spec(path_length=0)},
    ],
)
def test_check_accepts_what_can_be_issued(specs: dict[str, CertificateSpec]) -> None:
    assert check(specs) == []
    assert list(issue(specs)) == list(specs)


def test_check_resolves_relative_dates_at_the_given_time() -> None:
    """A relative start and an absolute end are in order at one time and not at another."""
    specs = {"a": spec(not_after="2026-11-22T12:00:00Z")}
    assert check(specs, NOW) == []
    assert [key for _, key, _ in check(specs, NOW + timedelta(days=2))] == ["not_after"]


# --- moment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1d", NOW - timedelta(days=1)),
        ("+365d", NOW + timedelta(days=365)),
        ("+90s", NOW + timedelta(seconds=90)),
        ("-5m", NOW - timedelta(minutes=5)),
        ("+36h", NOW + timedelta(hours=36)),
        ("+0s", NOW),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00:00z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00.987+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (
            datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=-1))),
            datetime(2026, 1, 31, 13, tzinfo=UTC),
        ),
    ],
)
def test_moment_returns_utc_in_whole_seconds(text: str | datetime, expected: datetime) -> None:
    found = moment(text, NOW.replace(microsecond=7).astimezone(timezone(timedelta(hours=5))))
    assert (found, found.tzinfo) == (expected, UTC)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1d", "sign, number"),
        ("+1w", "one of s m h d"),
        ("+1.5d", "sign, number"),
        ("+d", "sign, number"),
        ("", "is not a valid time"),
        ("-1d\n", "is not a valid time"),
        ("+\N{FULLWIDTH DIGIT ONE}d", "is not a valid time"),
        ("tomorrow", "is not a valid time"),
        ("2026-01-31", "RFC 3339"),
        ("2026-01-31T12:00:00", "RFC 3339"),
        ("20260131T120000Z", "RFC 3339"),
        ("2026-02-30T12:00:00Z", "day is out of range"),
        ("2026-01-31T25:00:00Z", "hour must be in"),
        ("+999999999999d", "outside the years"),
        ("0001-01-01T00:00:00+01:00", "outside the years"),
        (datetime(2026, 1, 31, 12), "no time zone"),  # noqa: DTZ001 - the subject of this row
    ],
)
def test_moment_rejects_invalid_text_with_its_reason(text: str | datetime, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        moment(text, NOW)
