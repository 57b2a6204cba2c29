"""Transfers by literal commands are compared with the files on both sides: names and contents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, contradictions, falsified, verdict
from tests.ordinary import without_root_powers

from ftps_harness.play.actions.local_files import charset_of, named_outside
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_lab.testimony import Testimony

TWO = 'files = { "mycert.crt" = "cert:genuine", "cwd/ä.txt" = "text:one", "cwd/ö.txt" = "text:two" }'


def with_files(step: str, files: str) -> str:
    return step.replace('files = { "mycert.crt" = "cert:genuine" }', files)


@pytest.mark.parametrize("run", ["mput *.txt", "mirror -R . up", "put ä.txt; put ö.txt"])
def test_non_ascii_names_arrive_unchanged(play: Play, run: str) -> None:
    result = play(with_files(play.step(ACCEPTED, keys=f'run = ["{run}"]'), TWO))
    assert result.status == "pass", result.steps[0].why
    (attempt,) = result.steps[0].attempts
    assert {"ä.txt", "ö.txt"} <= {t.name.rpartition("/")[2] for t in attempt.testimony.transfers}


@pytest.mark.parametrize("run", ["mput *.txt", "mirror -R . up"])
def test_two_files_stored_under_one_name_are_failed(play: Play, run: str) -> None:
    """In the locale C, both are stored as ``??.txt``."""
    keys = f'locale = "C"\nrun = ["{run}"]{NO_CONTROL}'
    result = play(with_files(play.step('verdict = "failed"', keys=keys), TWO))
    assert verdict(result) == "failed", contradictions(result)


def test_stored_name_without_a_local_file_is_inconclusive(play: Play) -> None:
    """A single file is stored as ``?.txt``."""
    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/ä.txt" = "text:one" }'
    result = play(with_files(play.step(ACCEPTED, keys=f'locale = "C"\nrun = ["mput *.txt"]{NO_CONTROL}'), files))
    assert verdict(result) == "inconclusive"
    assert "no local file and no command has this name" in contradictions(result)


COMPLETE = [
    "put a -o b",
    "put a; put -c a; put -a a -o c",
    "put a -o b; get b -o c; rm b",
    "put -E a; !true",
    "put a -o b; mv b c; get c; cat c",
    "put /etc/hostname -o b",
    "mirror -R .lftp up; mirror up down",
    "lcd .lftp; mirror -Rv . up",
    "mirror -R --exclude a . up",
    "put a; pget -n 2 a -o b",
    "put a -o b; get b -o ~/.lftp/c; put a -o b",
    "!cp a x; put x; !rm x",
]


@pytest.mark.parametrize("run", COMPLETE)
def test_files_on_both_sides_are_accepted(play: Play, run: str) -> None:
    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/a" = "text:1\\n22\\n333\\n" }'
    result = play(with_files(play.step(ACCEPTED, keys=f"run = {run.split('; ')!r}{NO_CONTROL}"), files))
    assert result.status == "pass", result.steps[0].why


@pytest.mark.parametrize("run", ["get FILE -o /dev/null", "cat FILE | wc -c", "cat FILE > /dev/null"])
def test_discarded_download_is_inconclusive(play: Play, run: str) -> None:
    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/a" = "text:1\\n22\\n333\\n" }'
    keys = f'run = ["put a; set xfer:clobber yes; {run.replace("FILE", "a")}"]{NO_CONTROL}'
    result = play(with_files(play.step(ACCEPTED, keys=keys), files))
    assert verdict(result) == "inconclusive"
    assert "but lftp's files and output do not contain it" in contradictions(result)


def test_upload_truncated_on_the_servers_disk_is_inconclusive(play: Play) -> None:
    def cut(testimony: Testimony) -> Testimony:
        for transfer in testimony.transfers:
            if transfer.verb == "STOR":
                (roots[0] / transfer.name).write_bytes(b"1\n")
        return testimony

    roots: list[Path] = []

    class Cutting(FtpsServer):
        def __init__(self, *arguments: object, **more: object) -> None:
            roots[:] = [more["root"]]  # type: ignore[list-item]
            super().__init__(*arguments, **more)  # type: ignore[arg-type]

    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/a" = "text:1\\n22\\n333\\n" }'
    step = with_files(play.step(ACCEPTED, keys=f'run = ["put a"]{NO_CONTROL}'), files)
    result = play(step, place=falsified("testimony", cut, Cutting))
    assert verdict(result) == "inconclusive"
    assert "its disk does not have" in contradictions(result)


def test_upload_without_a_local_file_is_inconclusive(play: Play) -> None:
    """The server received content that no file of lftp's holds."""

    def other(testimony: Testimony) -> Testimony:
        return replace(
            testimony,
            transfers=tuple(
                replace(t, sha256="0" * 64, name="nowhere") if t.verb == "STOR" else t for t in testimony.transfers
            ),
        )

    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/a" = "text:1\\n22\\n333\\n" }'
    step = with_files(play.step(ACCEPTED, keys=f'run = ["put a"]{NO_CONTROL}'), files)
    result = play(step, place=falsified("testimony", other))
    assert verdict(result) == "inconclusive"
    assert "no known local file has this content" in contradictions(result)


@pytest.mark.parametrize(
    ("locale", "charset"),
    [("C", "ascii"), ("C.UTF-8", "utf-8"), ("de_DE.ISO-8859-1@euro", "iso8859-1"), ("x.nothing", "utf-8")],
)
def test_charset_is_that_of_the_locale(locale: str, charset: str) -> None:
    assert charset_of(locale) == charset


def test_mirror_that_skipped_a_changed_file_is_failed(play: Play) -> None:
    """`mirror -R` skips files that look the same: one with equal size and time but other content is not replaced."""
    make = "!mkdir d && printf 1 > d/a && printf 2 > d/b && touch -d 2026-01-01 d/a d/b"
    run = f"run = ['{make}', 'mirror -R d up', '!printf 3 > d/b && touch -r d/a d/b', 'mirror -R d up']"
    result = play(play.step('verdict = "failed"', keys=run + NO_CONTROL))
    assert verdict(result) == "failed", contradictions(result)


def test_unreadable_files_outside_home_are_ignored(tmp_path: Path) -> None:
    """In /tmp, for example, where a command may run: lftp cannot read a file that we cannot read."""
    (tmp_path / "mine").write_text("x")
    (tmp_path / "theirs").write_text("x")
    (tmp_path / "theirs").chmod(0)
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed/x").write_text("x")
    (tmp_path / "closed").chmod(0)
    with without_root_powers():
        found = list(named_outside([f"lcd {tmp_path}; put {tmp_path}/closed/x"], tmp_path / "home"))
    (tmp_path / "closed").chmod(0o700)
    assert found == [tmp_path / "mine"]
