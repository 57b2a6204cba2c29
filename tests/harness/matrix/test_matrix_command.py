"""`ftps-lab matrix` as a user calls it: with a real engine, and with failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.waiting import until

from ftps_harness import cli
from ftps_harness.cli.matrix import _Call, _Wanted
from ftps_harness.errors import HarnessError
from ftps_harness.matrix.containers import Stage, check_system_rc, host_names, image_of
from ftps_harness.matrix.play import MatrixRun, PairResult
from ftps_harness.play.places.leads import is_address
from ftps_harness.play.runner import ScenarioResult
from ftps_harness.sandbox import process
from ftps_harness.scenario import catalogue, load

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_lab import containers

ROOT = Path(__file__).parents[3]
ONE_PAIR = ("--client", "bullseye", "--server", "lab")
COMMAND = (sys.executable, "-m", "ftps_harness", "matrix")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.call(["matrix", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


class TestWithoutContainers:
    def test_host_names_include_their_lower_case_form(self, play: Play) -> None:
        hosts = ("Backup.Example.Test", "127.0.0.1", "localhost")
        steps = [play.step('verdict = "accepted"', keys=f'host = "{host}"', title=host) for host in hosts]
        scenario = play.scenario(*steps)
        assert host_names([scenario]) == ("Backup.Example.Test", "backup.example.test")

    def test_pair_that_skipped_everything_says_why_it_proves_nothing(self, play: Play) -> None:
        scenario = play.scenario(play.step('verdict = "accepted"'))
        skipped = ScenarioResult(scenario, "skip", why="pure-ftpd has no implicit TLS")
        passed = ScenarioResult(scenario, "pass")
        pairs = (
            PairResult("sid", "pure-ftpd", None, (skipped, skipped), 1.0),
            PairResult("sid", "lab", None, (skipped, passed), 1.0),
        )
        (sentence,) = _Call._nothing_played(MatrixRun(pairs, interrupted=False, seconds=2.0))
        assert sentence == (
            "sid × pure-ftpd proves nothing: every scenario was skipped there: pure-ftpd has no implicit TLS"
        )

    @pytest.mark.parametrize(
        ("host", "address"), [("127.0.0.1", True), ("::1", True), ("localhost", False), ("1.example", False)]
    )
    def test_addresses_are_distinguished_from_names(self, host: str, address: bool) -> None:
        assert is_address(host) is address

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--client", "bulseye"], "--client bulseye: no client has this name"),
            (["--server", "filezilla"], "--server filezilla: no server has this name"),
            (["document/no-such"], "no-such"),
            (["-j", "0"], "0 is not in the range"),
            (["--timeout", "never"], "'never': must be greater than 0"),
            (["--json", "/nonexistent/x.json"], "the folder /nonexistent"),
            (["--keep", "/dev/null"], "--keep /dev/null: not a folder"),
            (["--tag", "no-such-tag"], "no-such-tag"),
        ],
    )
    def test_usage_error_exits_2_before_any_container_starts(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
        code, _, err = call(capsys, *arguments)
        assert code == 2
        assert sentence in err

    def test_baseline_update_without_controls_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = call(capsys, "--update-baseline", "--no-controls")
        assert code == 2
        assert (
            "--update-baseline with --no-controls: an answer without its control proves nothing, so it must not "
            ""
            "become a baseline" in err
        )

    @pytest.mark.parametrize(
        ("exit_code", "stdout", "sentence"),
        [
            (0, b"set ssl:verify-certificate no\n", "affects trust"),
            (1, b"", "cannot be read"),
            (None, b"", "cannot be read"),
        ],
    )
    def test_image_with_a_trusting_or_unreadable_rc_is_refused(
        self, exit_code: int | None, stdout: bytes, sentence: str
    ) -> None:
        done = process.Finished(exit_code, None, False, 0.1, stdout, b"")
        with pytest.raises(HarnessError, match=sentence):
            check_system_rc(lambda *_, **__: done)
        check_system_rc(lambda *_, **__: process.Finished(0, None, False, 0.1, b"set prompt x\n", b""))

    def test_missing_engine_exits_3_with_the_remedy(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
        code, _, err = call(capsys)
        assert code == 3
        assert "there is no Docker engine at /nonexistent: install one (Debian: apt install docker.io)" in err

    def test_malformed_baseline_exits_2(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "scenarios"
        (folder / "baselines").mkdir(parents=True)
        (folder / "baselines" / "sid.json").write_text("{}")
        (folder / "document").mkdir()
        name = "document/untrusted-by-default.scenario.toml"
        (folder / name).write_bytes((ROOT / "scenarios" / name).read_bytes())
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
        code, _, err = call(capsys, "--client", "sid")
        assert code == 2
        assert "sid.json: not a baseline" in err

    def test_baselines_name_exactly_the_steps_of_the_catalogue(self) -> None:
        """Renaming a scenario means renaming its baselines."""
        paths = catalogue(ROOT / "scenarios")
        steps = {each: {step.title for step in load(path).steps} for each, path in paths.items()}
        files = sorted((ROOT / "scenarios" / "baselines").glob("*.json"))
        assert len(files) >= 4
        for file in files:
            data = json.loads(file.read_text("utf-8"))
            for scenario, known in data["scenarios"].items():
                assert known.keys() == steps[scenario], f"{file.name}: {scenario}"


@pytest.mark.usefixtures("engine")
class TestWithContainers:
    def test_one_pair_matches_its_baseline_and_keeps_evidence(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """The build that the document was written for prints its words and matches the baseline; nothing is left."""
        file = tmp_path / "cells.json"
        code, out, err = call(
            capsys,
            "document/untrusted-by-default",
            "document/rotation-looks-like-tampering",
            *ONE_PAIR,
            "--json",
            str(file),
            "--keep",
            str(tmp_path / "kept"),
        )
        assert (code, err) == (0, "")
        data: dict[str, Any] = json.loads(file.read_text("utf-8"))
        assert (data["builds"]["bullseye"]["version"], data["builds"]["bullseye"]["dialect"]) == ("4.8.4", "classic")
        assert data["summary"] == {"pass": 2, "fail": 0, "error": 0, "skip": 0}
        assert data["drift"] == []
        first, second = data["cells"]
        stderr = first["steps"][0]["witnesses"]["client"]["stderr"]
        assert re.fullmatch(
            r"ls: Fatal error: Certificate verification: Not trusted \((?:[0-9A-F]{2}:){19}[0-9A-F]{2}\)\n", stderr
        )
        assert [step["actual"]["verdict"] for step in second["steps"]] == ["accepted", "rejected", "accepted"]
        assert all(step["control"] for step in second["steps"])
        kept = tmp_path / "kept" / "bullseye" / "lab" / "document"
        assert (kept / "untrusted-by-default" / "1" / "stderr").read_text("utf-8") == stderr
        assert b"234 " in (kept / "untrusted-by-default/1/wire/01-control-to-client.bin").read_bytes()
        assert (kept / "rotation-looks-like-tampering" / "1-impostor-refused" / "testimony.json").exists()
        assert "2 passed, 0 failed, 0 errors, 0 skipped over 1 pair, 0 drifted" in out
        assert "exit code 0: every answer is as its scenario expects and its baseline records" in out
        assert all(len(line) <= 80 for line in out.splitlines())

    def test_new_or_changed_answer_is_drift_and_exits_1(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The baseline is first missing, then written, then tampered with: only the second call succeeds."""
        area = tmp_path / "scenarios" / "document"
        area.mkdir(parents=True)
        name = "untrusted-by-default.scenario.toml"
        (area / name).write_bytes((ROOT / "scenarios" / "document" / name).read_bytes())
        monkeypatch.chdir(tmp_path)
        first, out, _ = call(capsys, *ONE_PAIR, "--update-baseline")
        assert (first, "new: bullseye × lab: 2 answers without a baseline" in out) == (0, True)
        file = tmp_path / "scenarios" / "baselines" / "bullseye.json"
        assert call(capsys, *ONE_PAIR)[0] == 0
        file.write_text(file.read_text("utf-8").replace("Not trusted", "Trusted, somehow"))
        third, out, _ = call(capsys, *ONE_PAIR)
        assert third == 1
        assert "other: document/untrusted-by-default" in out
        assert "was: rejected: untrusted: «Certificate verification: Trusted, somehow»" in out

    def test_scenario_with_an_address_is_skipped_with_the_reason(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        text = (ROOT / "scenarios/document/untrusted-by-default.scenario.toml").read_text("utf-8")
        (tmp_path / "x.scenario.toml").write_text(text.replace("[[step]]", '[[step]]\nhost = "127.0.0.1"'))
        code, out, _ = call(capsys, str(tmp_path / "x.scenario.toml"), *ONE_PAIR)
        assert code == 3  # if everything is skipped, nothing is proved
        assert "the host is an address, 127.0.0.1" in out

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_ends_the_matrix_and_leaves_nothing_behind(self, number: int, tmp_path: Path) -> None:
        running = self._started_matrix(tmp_path)
        began = time.monotonic()
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 130, out + err
        assert "interrupted" in out + err
        assert time.monotonic() - began < 40
        assert not self._resources_of(running.pid)
        # The first run after a change builds the image, and the lock of a build stays (`images._alone`).
        assert [path.name for path in tmp_path.iterdir() if not path.name.endswith("-lab.lock")] == []

    def test_next_run_removes_the_containers_of_a_killed_matrix(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        running = self._started_matrix(tmp_path)
        running.kill()
        running.communicate(timeout=60)
        code, _, err = call(capsys, "document/untrusted-by-default", *ONE_PAIR)
        assert (code, err) == (0, "")
        until(lambda: not self._resources_of(running.pid), 60)

    @pytest.mark.parametrize("playing", [False, True])
    def test_removed_container_exits_3_with_the_reason(self, tmp_path: Path, *, playing: bool) -> None:
        """The container is removed while a scenario runs or at the very start, when the engine itself may report it."""
        running = self._started_matrix(tmp_path)
        if playing:  # both containers answer and share files
            until(
                lambda: any(tmp_path.glob("ftps-lab-run-matrix-*/bullseye-lab-*/*")) or running.poll() is not None, 60
            )
        ids = self._resources_of(running.pid, networks=False)
        subprocess.run(["docker", "rm", "-f", *ids], capture_output=True, check=False, timeout=60)
        out, err = running.communicate(timeout=120)
        assert running.returncode == 3, out + err
        assert "Traceback" not in out + err
        sentences = (
            "has ended|ended right after its start|gone|does not|did not|cannot be reached|no communication|closed"
        )
        early = "" if playing else "|it was removed during the run|the Docker engine .* refused"
        assert re.search(f"container .*({sentences}{early})", out + err), out + err
        assert not self._resources_of(running.pid)

    @staticmethod
    def _started_matrix(tmp_path: Path) -> subprocess.Popen[str]:
        """A matrix in another process, once its containers run."""
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        running = subprocess.Popen(
            [*COMMAND, "document/pin-detects-impostor", "attack/data-interceptor-uploads", *ONE_PAIR],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        try:
            until(
                lambda: (
                    running.poll() is not None
                    or len(TestWithContainers._resources_of(running.pid, networks=False)) == 2
                ),
                60,
            )
            assert running.poll() is None, running.communicate()
        except BaseException:
            running.kill()
            raise
        return running

    @staticmethod
    def _resources_of(pid: int, *, networks: bool = True) -> list[str]:
        """The process's containers and networks, as the engine lists them."""
        label = f"label=org.ftps-lab.owner.pid={pid}"
        kinds = [["ps", "-aq"], *([["network", "ls", "-q"]] if networks else [])]
        found: list[str] = []
        for kind in kinds:
            done = subprocess.run(["docker", *kind, "--filter", label], capture_output=True, text=True, check=True)
            found += done.stdout.split()
        return found


@pytest.mark.usefixtures("engine")
def test_images_are_built_once(play: Play) -> None:
    """The second time nothing is built, so nothing is printed."""
    from ftps_harness.matrix.builds import BUILDS, KINDS

    expected: list[str] | None
    for expected in (None, []):
        said: list[str] = []
        with Stage([play.scenario(play.step('verdict = "accepted"'))], said.append) as stage:
            stage.prepare([BUILDS["bullseye"]], [KINDS["lab"]])
            assert stage.has(BUILDS["bullseye"])
        assert expected is None or said == expected


@pytest.mark.usefixtures("engine")
def test_failed_image_build_is_an_error_unless_optional(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from ftps_harness.matrix.builds import Build

    def failing(build: Build) -> containers.Image:
        return dataclasses.replace(image_of(build), name="lftp-broken", base="debian:no-such-suite")

    monkeypatch.setattr("ftps_harness.matrix.containers.image_of", failing)
    with Stage([play.scenario(play.step('verdict = "accepted"'))], print) as stage:
        with pytest.raises(Exception, match="the base image debian:no-such-suite is not on this machine"):
            stage.prepare([Build("broken", "x", "debian:no-such-suite")], [])
        optional = Build("broken", "x", "debian:no-such-suite", optional=True)
        stage.prepare([optional], [])
        assert not stage.has(optional)


@pytest.mark.parametrize(("named", "problems"), [(("openssl",), 1), ((), 0), (("sid",), 0)])
def test_unavailable_build_is_a_problem_only_if_named(named: tuple[str, ...], problems: int) -> None:
    """An optional build that the user did not name is left out."""
    switches = {"no_controls": False, "update_baseline": False, "verbose": False}
    wanted = _Wanted((), named, (), 1, 30.0, json=None, html=None, keep=None, **switches)
    run = MatrixRun((), interrupted=False, seconds=1.0, left_out=(("openssl", "no source"),))
    assert len(list(_Call(["document/untrusted-by-default"], wanted)._not_played(run))) == problems
