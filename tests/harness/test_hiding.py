"""What `may_hide` does not read word by word has no word that matters."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from ftps_harness import hiding
from ftps_harness.hiding import may_hide

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
def test_a_command_that_is_not_read_could_hide_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random lines of all that matters, read in full and with the short cut."""
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
def test_what_leads_out_of_home_hides(line: str) -> None:
    assert may_hide([line], HOME)


def test_a_certificate_hides_nothing() -> None:
    """Its base64 is read as commands where the rc names it; a line of it may begin with a slash."""
    assert not may_hide(["-----BEGIN CERTIFICATE-----\nMIIB/k+x\n/9j+aa==\n-----END CERTIFICATE-----\n"], HOME)
