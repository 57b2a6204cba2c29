"""lftp's messages while it reads a setup, with the line that each is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness.verify.conftest import Check

    from ftps_harness.verify.base import Report

PINNED = 'set ssl:ca-file "~/.lftp/server.crt"\nset ftp:ssl-force yes\n'


def complaints(report: Report) -> list[tuple[str, int | None]]:
    """File and line of each, in the order of the report."""
    found = (each.where for each in report.findings if each.id == "rc-complaint")
    return [(where.file.rpartition("/")[2], where.line) if where else ("", None) for where in found]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f'{PINNED}set ssl:key-file "~/.lftp/none.key"\n', [3]),
        (f"set ftp:ssl-forec yes\n{PINNED}", [1]),
        (f"{PINNED}nonsense\n# mine\nset ftp:ssl-forec yes\nnonsense\n", [3, 5, 6]),
        ("# mine\n" * 7340 + "set ftp:ssl-forec yes\n" + "# mine\n" * 2657 + PINNED, [7341]),
        (f"{PINNED}nonsense", [3]),
    ],
    ids=["a missing file", "the first line", "the same words twice", "line 7,341 of 10,000", "no final newline"],
)
def test_complaint_names_its_line(text: str, lines: list[int], check: Check) -> None:
    report = check(text, only=("refuse-auth-502",))
    assert complaints(report) == [("rc", line) for line in lines]


def test_complaint_about_a_sourced_file_names_its_line(check: Check) -> None:
    more = {".lftp/more": b"# mine\nset net:timeout 5\nnonsense\n"}
    report = check(f"{PINNED}source ~/.lftp/more\n", more, only=("refuse-auth-502",))
    assert complaints(report) == [("more", 3)]


def test_complaint_about_at_exit_names_the_line_that_set_it(check: Check) -> None:
    report = check(f'{PINNED}set cmd:at-exit "nonsense"\n# mine\n', only=("refuse-auth-502",))
    assert complaints(report) == [("rc", 3)]
