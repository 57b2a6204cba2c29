"""docs/refusals/: one page for each reason, with the output of real builds; a page that has drifted fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from ftps_harness.scenario.tables import Reason
from ftps_harness.teach import refusal_pages
from ftps_harness.teach.refusal_pages import pages, read
from ftps_harness.teach.refusals import REFUSALS

ROOT = Path(__file__).parents[3]
RECORDINGS = ROOT / "tests" / "recordings"
RECORDED = read(RECORDINGS)
REASONS = get_args(Reason)


def page_of(name: str) -> str:
    """The name of a page, which is below docs/refusals/ and not beside this file."""
    return f"{name}.md"


def recorded_lines() -> set[str]:
    """Every recorded line of standard error, and of the debug log without its number."""
    found: set[str] = set()
    for file in RECORDINGS.glob("lftp-*.json"):
        for case in json.loads(file.read_text("utf-8"))["cases"]:
            lines = [*case["stderr"].splitlines(), *(line.partition("] ")[2] for line in case["log"])]
            found.update(" ".join(line.split()) for line in lines)
    return found


def test_every_reason_has_a_page_and_there_is_no_other() -> None:
    assert tuple(REFUSALS) == REASONS
    assert set(pages(RECORDED)) == {"README.md", *(f"{reason}.md" for reason in REASONS)}


@pytest.mark.parametrize("reason", REASONS)
def test_every_quoted_line_was_printed_by_a_real_build(reason: str) -> None:
    blocks = pages(RECORDED)[f"{reason}.md"].split("```text\n")[1:]
    quoted = [block.partition("\n```")[0] for block in blocks]
    assert quoted
    assert [line for line in quoted if line not in recorded_lines()] == []


@pytest.mark.parametrize("reason", REASONS)
def test_quoted_case_is_refused_for_the_pages_reason_by_some_build(reason: Reason) -> None:
    case = REFUSALS[reason].case
    assert any(reason in said.reasons for said in RECORDED if said.case == case)


@pytest.mark.parametrize("reason", REASONS)
def test_page_names_every_build(reason: str) -> None:
    """Readers also need to know which builds do not refuse."""
    page = pages(RECORDED)[f"{reason}.md"]
    assert [said.build for said in RECORDED if said.build not in page] == []


def test_index_lists_every_recorded_message_with_its_reasons() -> None:
    index = pages(RECORDED)["README.md"]
    rows = {line for line in index.splitlines() if line.startswith("| `")}
    for said in RECORDED:
        if said.line:
            (row,) = [row for row in rows if row.startswith(f"| `{said.message}` |")]
            assert all(f"({reason}.md)" in row for reason in said.reasons)
            assert said.dialect in row


def test_crash_or_acceptance_is_not_called_a_refusal() -> None:
    page = pages(RECORDED)[page_of("revoked")]
    assert "lftp 4.8.4 with GnuTLS 3.7.1, dialect `classic`:\n\n> no refusal" in page
    assert "dialect `status`:\n\n> lftp crashes (signal 11)" in page


def test_every_reason_says_why_what_to_do_and_what_not_to_do() -> None:
    for text in REFUSALS.values():
        assert text.why.strip()
        assert text.to_do.startswith("1. ")
        assert text.not_to_do.startswith("- ")


def test_no_page_advises_disabling_verification() -> None:
    """The line appears only below "What not to do"."""
    for page in pages(RECORDED).values():
        assert "verify-certificate no" not in page.partition("## What not to do")[0]


class TestPageCheck:
    def folder(self, tmp_path: Path) -> Path:
        shutil.copytree(ROOT / "docs" / "refusals", tmp_path / "refusals")
        return tmp_path / "refusals"

    def check(self, recordings: Path, folder: Path) -> int:
        return refusal_pages.main(["--check", str(recordings), str(folder)])

    def test_committed_pages_are_up_to_date(self, tmp_path: Path) -> None:
        assert self.check(RECORDINGS, self.folder(tmp_path)) == 0

    def test_edited_page_fails_the_check(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        page = self.folder(tmp_path) / page_of("expired")
        page.write_text(page.read_text("utf-8").replace("has expired", "is fine"), "utf-8")
        assert self.check(RECORDINGS, page.parent) == 1
        assert capsys.readouterr().err == f"{page} is out of date; run `make refusals`\n"

    @pytest.mark.parametrize("name", [page_of("weak"), "README.md"])
    def test_missing_page_fails_the_check(self, name: str, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / name).unlink()
        assert self.check(RECORDINGS, folder) == 1

    def test_obsolete_page_fails_the_check_and_is_removed_by_writing(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / page_of("another")).write_text("", "utf-8")
        assert self.check(RECORDINGS, folder) == 1
        assert refusal_pages.main([str(RECORDINGS), str(folder)]) == 0
        assert self.check(RECORDINGS, folder) == 0
        assert not (folder / page_of("another")).exists()

    def test_changed_message_in_a_recording_fails_the_check(self, tmp_path: Path) -> None:
        """If a build is recorded again with other messages, the pages change."""
        recordings = tmp_path / "recordings"
        recordings.mkdir()
        for file in RECORDINGS.glob("lftp-*.json"):
            text = file.read_text("utf-8").replace("self-signed certificate", "self signed certificate")
            (recordings / file.name).write_text(text, "utf-8")
        assert self.check(recordings, self.folder(tmp_path)) == 1

    def test_folder_without_recordings_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=": no recordings"):
            self.check(tmp_path, self.folder(tmp_path))
