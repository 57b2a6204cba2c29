"""The parts that `may_hide` skips contain no word that matters."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from ftps_harness.verdict import hiding
from ftps_harness.verdict.hiding import may_hide, scripts_among

HOME = Path("/h")
PIECES = [
    "get",
    "ls",
    "set",
    "alias",
    "x",
    "she",
    "ll",
    "local",
    "edit",
    "fi",
    "le:",
    "shell",
    "ssl:a",
    "/",
    "/opt",
    "/h/x",
    "..",
    "a/../b",
    "~",
    "~x",
    "~/y",
    "file:/x",
    ".",
    "|",
    "||",
    "&&",
    "&",
    ";",
    ">",
    ">>",
    '"',
    "'",
    "\\",
    "!",
    "#",
    "(",
    ")",
]


@pytest.mark.parametrize("seed", range(5))
def test_shortcut_gives_the_same_answer_as_reading_in_full(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random lines of significant pieces give the same answer, read in full and with the shortcut."""
    chance = random.Random(seed)
    lines = [
        "".join(chance.choice((*PIECES, " ", " ", "\t", "\n")) for _ in range(chance.randint(1, 9)))
        for _ in range(3000)
    ]
    short = [may_hide([line], HOME) for line in lines]
    monkeypatch.setattr(hiding, "_WORTH_READING", re.compile(""))
    assert short == [may_hide([line], HOME) for line in lines]
    assert True in short
    assert False in short


@pytest.mark.parametrize("line", ["get x -o /tmp/x", "get x -o '/tmp/x'", "cat x | gzip", "!id", "get x -o ~root/x"])
def test_command_that_leads_out_of_home_may_hide(line: str) -> None:
    assert may_hide([line], HOME)


@pytest.mark.parametrize(
    "line",
    [
        'set cmd:at-exit "!mv x /tmp"',
        "set at-exit '!mv x /tmp'",
        'SET cmd:at-exit-bg "cat x | gzip > y"',
        "set cmd:at-queue-finish 'get x -o /dev/stdout'",
        'queue "!id"',
        "at now -- '!id'",
        'command queue "cat x | gzip"',
    ],
)
@pytest.mark.parametrize("home", [HOME, None])
def test_command_inside_a_quoted_word_may_hide(line: str, home: Path | None) -> None:
    """lftp executes them later."""
    assert may_hide([line], home)


@pytest.mark.parametrize(
    "line", [r'set cmd:prompt "\S\? \u@\h:\w> "', 'set cmd:at-exit "bye"', 'ls "a b"', 'set ssl:ca-file "/a b"']
)
def test_plain_text_inside_a_quoted_word_hides_nothing(line: str) -> None:
    assert not may_hide([line], HOME)


def test_certificate_hides_nothing() -> None:
    """Where the rc names a certificate, its base64 is read as commands; one of its lines may begin with a slash."""
    assert not may_hide(["-----BEGIN CERTIFICATE-----\nMIIB/k+x\n/9j+aa==\n-----END CERTIFICATE-----\n"], HOME)


@pytest.mark.parametrize("line", ["get 3B -o 3B.got", "set net:max-retries 1; mput 3B 64K"])
def test_file_that_is_only_transferred_is_not_a_script(line: str) -> None:
    """Three random bytes contain a ``|`` or begin with ``!`` in 1 of 64 runs; they are content, not commands."""
    assert not scripts_among(["3B"], [line])


def test_certificate_names_no_script() -> None:
    """The base64 contains ``3B`` in one of six certificates, and is read because the rc names the file."""
    pem = "-----BEGIN CERTIFICATE-----\nMIIBSjCB3B2gAwIBAgIU\n3B==\n-----END CERTIFICATE-----\n"
    assert not scripts_among(["3B"], ["set ssl:ca-file ~/.lftp/mycert.crt", "put 3B", pem])


@pytest.mark.parametrize(
    "lines",
    [
        ["source 3B"],
        [". '3B'"],
        ["get x -o 3B && source 3B"],
        ["put x || source 3B"],
        ["(source 3B)"],
        ["alias put source", "put 3B"],
        ["al put source; put 3B"],
        ["eval al put source", "put 3B"],
        ["!cat 3B"],
        ["!./3B"],
        ["queue source 3B"],
    ],
)
def test_file_named_by_any_other_command_may_be_a_script(lines: list[str]) -> None:
    assert scripts_among(["3B"], lines)


def test_file_that_no_command_names_is_not_a_script() -> None:
    assert not scripts_among(["3B"], ["source other; get x", "ls"])


def test_script_name_with_an_escaped_space_is_found() -> None:
    assert scripts_among(["a b"], ["source a\\ b"])
