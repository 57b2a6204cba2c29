"""The demonstration: it shows what was recorded, or says that it does not."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from ftps_harness.cli import call
from ftps_harness.cli.demo import Audience
from ftps_harness.play.places.sealed import Sealed
from ftps_harness.teach.demo import cast, markdown, terminal
from ftps_harness.teach.demo.chapters import CHAPTERS, Claim
from ftps_harness.teach.demo.parts import Part
from ftps_harness.teach.demo.play import play
from ftps_harness.teach.demo.stage import PASSWORD, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.teach.demo.chapters import Chapter

pytestmark = pytest.mark.lftp

CLAIMS = [
    Claim(),
    Claim(login=True),
    Claim(refused=frozenset({"untrusted"})),
    Claim(login=True, exposed=frozenset({("password", "wire"), ("payload", "wire")})),
    Claim(login=True, exposed=frozenset({("password", "impostor"), ("payload", "impostor")})),
]
"""Claims that all contradict each other."""


@pytest.fixture(scope="module")
def all_parts(client: Lftp, sealed_here: None) -> tuple[Part, ...]:
    """All chapters."""
    parts, wrong = run(client, CHAPTERS)
    assert wrong == []
    return parts


def run(client: Lftp, chapters: Sequence[Chapter]) -> tuple[tuple[Part, ...], list[str]]:
    with Sealed([client.path]) as place, Stage(place, client) as stage:
        return tuple(play(chapters, stage)), stage.wrong


def chapter(parts: Sequence[Part], name: str) -> list[Part]:
    """The parts of one chapter."""
    number = [each.name for each in CHAPTERS].index(name)
    titles = [index for index, part in enumerate(parts) if part.kind == "title"]
    return list(parts[titles[number] : (*titles, len(parts))[number + 1]])


def test_every_chapter_ends_with_its_answer(all_parts: tuple[Part, ...]) -> None:
    assert [part.kind for part in all_parts].count("answer") == len(CHAPTERS) == 12


@pytest.mark.long
@pytest.mark.parametrize("name", [each.name for each in CHAPTERS if each.name != "fetch"])
def test_false_claim_is_reported_and_not_answered(name: str, client: Lftp, sealed_here: None) -> None:
    """Each claim of each chapter is replaced by every other one."""
    true = next(each for each in CHAPTERS if each.name == name)
    for number, act in enumerate(true.acts):
        for claim in CLAIMS:
            if claim == act.claim:
                continue
            acts = (*true.acts[:number], replace(act, claim=claim), *true.acts[number + 1 :])
            parts, wrong = run(client, [replace(true, acts=acts)])
            assert wrong
            assert "answer" not in {part.kind for part in parts}
            assert "problem" in {part.kind for part in parts}


def test_fetching_another_certificate_is_reported(
    client: Lftp, sealed_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = next(each for each in CHAPTERS if each.name == "fetch")
    act = replace(fetch.acts[0], server=lambda made: replace(fetch.acts[0].server(made), certificate=made.copy))
    _, wrong = run(client, [replace(fetch, acts=(act,))])
    assert wrong == ["the certificate that openssl printed is not the server's"]


def test_password_is_shown_only_in_chapters_that_expose_it(all_parts: tuple[Part, ...]) -> None:
    readable = {
        each.name
        for each in CHAPTERS
        for part in chapter(all_parts, each.name)
        if part.kind == "wire" and any(PASSWORD in line and "nowhere" not in line for line in part.lines)
    }
    assert readable == {"clear", "downgrade"}
    captured = {
        each.name
        for each in CHAPTERS
        for part in chapter(all_parts, each.name)
        if any("CAPTURED" in x for x in part.lines)
    }
    assert captured == {"interceptor", "downgrade"}


def test_everything_but_lftp_output_fits_80_columns(all_parts: tuple[Part, ...]) -> None:
    for part in all_parts:
        if part.kind != "output":
            assert [line for line in terminal.lines(part, 79) if len(line) > 80] == []


def test_secret_is_marked_without_colour(all_parts: tuple[Part, ...]) -> None:
    (server,) = [part for part in chapter(all_parts, "clear") if part.kind == "server"]
    assert any(f">>> {PASSWORD} <<<" in line for line in terminal.lines(server, 79))


def test_recording_is_an_asciicast_with_a_marker_per_chapter(all_parts: tuple[Part, ...]) -> None:
    header, *events = [json.loads(line) for line in cast.text(all_parts, 1.0).splitlines()]
    assert (header["version"], header["width"]) == (2, 80)
    times = [when for when, _, _ in events]
    assert times == sorted(times)
    assert {kind for _, kind, _ in events} == {"m", "o"}
    titles = [f"{number}. {each.title}" for number, each in enumerate(CHAPTERS, 1)]
    assert [data for _, kind, data in events if kind == "m"] == titles
    shown = "".join(data for _, kind, data in events if kind == "o")
    assert "$ lftp -u alice" in shown
    assert PASSWORD in shown


def test_transcript_has_every_chapter(all_parts: tuple[Part, ...]) -> None:
    text = markdown.text(all_parts)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## {number}. {each.title}" for number, each in enumerate(CHAPTERS, 1)
    ]
    assert text.count("```") % 2 == 0


def test_hostile_text_is_escaped() -> None:
    part = Part("output", ("\x1b]0;owned\x07```\n<script>", "::error::x"))
    assert "\x1b" not in "".join(terminal.lines(part, 79))
    recorded = "".join(json.loads(line)[2] for line in cast.text([part], 1.0).splitlines()[1:])
    assert "\\x1b]0;owned\\x07" in recorded
    assert "\x1b]" not in recorded
    assert "\x07" not in recorded
    assert markdown.text([part]).count("```") == 2


class TestDemoCommand:
    def test_demo_writes_recording_and_transcript(
        self, sealed_here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record, transcript = tmp_path / "cast", tmp_path / "transcript"
        assert call(["demo", "clear", "--record", str(record), "--transcript", str(transcript)]) == 0
        out = capsys.readouterr().out
        assert "Predict first:" in out
        assert "\x1b" not in out
        assert record.read_text().startswith('{"version": 2')
        assert "## 1. Plain FTP" in transcript.read_text()

    def test_rc_option_shows_whether_the_rc_protects(
        self, sealed_here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rc = tmp_path / "rc"
        rc.write_text("set ssl:verify-certificate no\n")
        assert call(["demo", "--rc", str(rc)]) == 0
        out = capsys.readouterr().out
        assert out.count("CAPTURED  user alice") == 2
        rc.write_text('set ssl:ca-file "~/.lftp/mycert.crt"\nset ftp:ssl-force yes\n')
        assert call(["demo", "--rc", str(rc)]) == 0
        assert "CAPTURED" not in capsys.readouterr().out

    def test_contradicting_evidence_exits_1(
        self, sealed_here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = CHAPTERS[0]
        wrong = replace(first, acts=(replace(first.acts[0], claim=Claim(login=True)),))
        monkeypatch.setattr("ftps_harness.teach.demo.chapters.CHAPTERS", (wrong,))
        assert call(["demo"]) == 1
        out = capsys.readouterr().out
        assert "The evidence disagrees with this page" in out
        assert "What happened" not in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["claer"], "no chapter is named claer. Did you mean"),
            (["--rc", "/nonexistent"], "--rc /nonexistent: "),
            (["--pace", "0", "clear"], "must be greater than 0"),
            (["--record", "/nonexistent/x", "clear"], "/nonexistent"),
        ],
    )
    def test_usage_error_exits_2_with_the_reason(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call(["demo", *arguments]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "waits"),
    [
        (100, ["the answer"]),
        (24, ["the server's part", "the answer"]),
        (5, ["the output", "the server's part", "the wire's part", "the answer"]),
    ],
)
def test_presentation_pauses_before_a_part_would_scroll_away(
    rows: int, waits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It also pauses before the answer."""
    waited: list[str] = []
    audience = Audience(auto=False, pace=None, rows=rows)
    shown = [
        ("the command", Part("typed", ("lftp",)), 1),
        ("the output", Part("output", ("x",) * 10), 11),
        ("the server's part", Part("server", ("x",) * 10), 12),
        ("the wire's part", Part("wire", ("x",) * 5), 7),
        ("the answer", Part("answer", ("x",)), 3),
    ]
    for name, part, lines in shown:
        monkeypatch.setattr("builtins.input", lambda _, name=name: waited.append(name))
        audience.before(part, lines)
    assert waited == waits


def test_automatic_presentation_never_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it waits"))
    audience = Audience(auto=True, pace=None, rows=5)
    for part in (Part("output", ("x",) * 10), Part("answer", ("x",), pause=True)):
        audience.before(part, 11)
        audience.after(part)


def test_height_equals_the_number_of_printed_lines(all_parts: tuple[Part, ...]) -> None:
    for part in all_parts:
        console = Console(width=80, file=io.StringIO(), color_system=None)
        terminal.show(part, console)
        assert isinstance(console.file, io.StringIO)
        assert console.file.getvalue().count("\n") == terminal.height(part, console)
