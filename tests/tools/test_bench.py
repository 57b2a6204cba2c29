"""`make bench`: every figure is measured, and each one that this machine cannot measure gets one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ftps_harness.client.lftp import find, identify
from ftps_harness.matrix.containers import Stage
from ftps_harness.sandbox import guard
from ftps_harness.sandbox.sandbox import why_none
from ftps_harness.scenario import catalogue, load
from ftps_lab import containers
from ftps_lab.errors import LabError

ROOT = Path(__file__).parent.parent.parent

FIGURES = (
    "catalogue, run -j 1 --no-controls",
    "catalogue, run -j 1",
    "catalogue, run -j 2 --no-controls",
    "catalogue, bare, the lab's servers",
    "catalogue, bare, stock pyftpdlib",
    "run -j 1 --no-controls / bare lftp, the lab's own servers up",
    "run -j 1 --no-controls / bare lftp, stock pyftpdlib up",
    "-j 2 / -j 1",
    "with controls / without",
    "a server's record in a sandbox, begun and finished",
    "extra time to start a program in a sandbox",
    "extra time for the command of one scenario in the sealed place",
    "extra time to start a program under guard",
    "extra time for an lftp under guard that lists, downloads and uploads",
    "verify -j 2 of an rc with a pin",
    "pin-check: planted tools recognized, -j 2",
    "pin-check -j 2: the whole contract",
    "a P-256 certificate issued and its server ready, median",
    "a hundred servers up and down, median",
    "a download of 4 MiB, through the interceptor / straight to the server",
    "an upload of 4 MiB, through the interceptor / straight to the server",
    "a listing, through the interceptor / straight to the server",
    "ftps-lab list / python -c 'import click'",
    "ftps-lab --help / python -c 'import click'",
    "threads after 10 steps, more than before",
    "descriptors after 10 steps, more than before",
    "temporary files after 10 steps, more than before",
    "peak memory of this whole run",
)


@pytest.mark.long
def test_quick_measures_every_figure_and_judges_none(tmp_path: Path) -> None:
    """In its own process, without an engine."""
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    done = subprocess.run(
        [sys.executable, ROOT / "tools/bench.py", "--quick"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    figures = [
        figure for figure in FIGURES if not re.search("sealed|sandbox|verify|pin-check", figure) or not why_none()
    ]
    figures = [figure for figure in figures if "under guard" not in figure or not guard.why_none()]
    for figure in figures:
        [line] = [line for line in lines if line.startswith(f"{figure}  ")]
        assert float(line[len(figure) :].split()[0]) >= 0 or figure.startswith("extra time")  # a difference, if busy
    [sentence] = [line for line in lines if "no.sock" in line]
    assert sentence.startswith("the matrix is not measured: ")
    unmeasured = [re.match("the (sandbox|guard) is not measured: ", line) is not None for line in lines]
    assert len(lines) == len(figures) + 3 + sum(unmeasured)  # the sentence, the header, and a blank line
    assert "at most" not in done.stdout


def test_missing_lftp_exits_1_with_a_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "FTPS_LAB_LFTP": str(tmp_path / "lftp")}
    done = subprocess.run(
        [sys.executable, ROOT / "tools/bench.py", "--quick"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("bench: ")
    assert "Traceback" not in done.stderr


def test_missing_images_are_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures for containers are left out."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    import bench_matrix

    def no_image(*_: object) -> None:
        raise LabError("no base image debian:bookworm-slim here, and no registry")

    monkeypatch.setattr(containers, "why_no_engine", lambda: "")
    monkeypatch.setattr(Stage, "prepare", no_image)
    monkeypatch.setattr(Stage, "__enter__", lambda self: self)
    monkeypatch.setattr(Stage, "__exit__", lambda *_: None)
    scenarios = [load(catalogue(ROOT / "scenarios")["document/expired"])]
    assert list(bench_matrix.warm_cells(identify(find()), scenarios, 1)) == []
    printed = capsys.readouterr().out
    assert printed == "the matrix is not measured: no base image debian:bookworm-slim here, and no registry\n"
