"""The expectation of a step, by dialect and version of lftp."""

from __future__ import annotations

import pytest

from ftps_harness.scenario import Dialect, Expect, expectation, parse

HEAD = """
schema = 1
title = "t"
why = "w"
[certificates.a]
[server]
certificate = "a"
[[step]]
title = "s"
repeat = 5
"""

EXPECT = """
[step.expect]
verdict = "rejected"
reason  = ["untrusted", "expired"]
message = "is NOT trusted"
[step.expect.classic]
reason  = "untrusted"
message = "Not trusted"
[step.expect.openssl]
verdict = "accepted"
[step.expect."4"]
message = "four"
[step.expect."4.8"]
message = "four eight"
[step.expect."5.0"]
verdict = "exposed"
to = ["wire"]
"""


def expected(dialect: Dialect, version: str, text: str = EXPECT) -> Expect:
    return expectation(parse(HEAD + text, "f", "a/b").steps[0], dialect, version)


def test_table_applies_without_a_matching_override() -> None:
    assert expected("status", "3.9") == Expect(
        verdict="rejected", reasons=frozenset({"untrusted", "expired"}), message="is NOT trusted"
    )


def test_dialect_override_changes_only_its_keys() -> None:
    assert expected("classic", "3.9") == Expect(
        verdict="rejected", reasons=frozenset({"untrusted"}), message="Not trusted"
    )


def test_override_with_a_verdict_replaces_the_table() -> None:
    """Neither reasons nor message survive."""
    assert expected("openssl", "3.9") == Expect(verdict="accepted")


def test_version_override_wins_over_dialect_override() -> None:
    """Keys that the version's override omits still come from the dialect's."""
    assert expected("classic", "4.9.2") == Expect(verdict="rejected", reasons=frozenset({"untrusted"}), message="four")


def test_version_override_with_a_verdict_replaces_the_dialects() -> None:
    assert expected("classic", "5.0.1") == Expect(verdict="exposed", to=frozenset({"wire"}))


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("4.8", "four eight"),
        ("4.8.4", "four eight"),
        ("4.8-2", "four eight"),
        ("4.80", "four"),
        ("4.9.3", "four"),
        ("4", "four"),
        ("40.1", "is NOT trusted"),
        ("14.8", "is NOT trusted"),
    ],
)
def test_longest_matching_version_prefix_applies(version: str, message: str) -> None:
    """A prefix must end where a number ends."""
    assert expected("status", version).message == message


def test_how_often_is_read() -> None:
    """With `sometimes`, `otherwise` lists the verdicts of the other runs."""
    text = '[step.expect]\nverdict="exposed"\nhow_often="sometimes"\notherwise=["rejected"]\n'
    assert expected("status", "4", text) == Expect(verdict="exposed", how_often="sometimes", otherwise=("rejected",))
