"""`ftps-lab doctor`: what is installed, what each missing part costs, and whether the main job works."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import ImageNotFound

from ftps_harness import cli, doctor
from ftps_harness.doctor import Finding, examine, works
from ftps_lab import containers
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp


def finding(part: str, path: str | None = None) -> Finding:
    """The line about one part."""
    return next(each for each in examine(path) if each.part == part)


@pytest.mark.lftp
def test_doctor_reports_every_part_and_exits_0(client: Lftp, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.call(["doctor", "--lftp", str(client.path)])
    out = capsys.readouterr().out
    assert code == 0
    assert re.search(rf"^ok +lftp +{re.escape(client.version)} at {client.path}", out, re.MULTILINE)
    for part in (
        "Python",
        "temporary files",
        "system rc",
        "openssl",
        "libfaketime",
        "guard",
        "unshare",
        "strace",
        "packages",
        "browser",
        "Docker",
        "Compose",
    ):
        assert re.search(rf"^(ok|note|missing) +{part} ", out, re.MULTILINE)
    assert out.endswith("`ftps-lab run` can do its work here\n")
    assert all(len(line) <= 80 or " " not in line.strip() for line in out.splitlines())  # a path is not broken
    assert "\x1b" not in out


def test_doctor_reports_cost_and_remedy_of_each_missing_part(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH is empty, and neither the packages nor Docker can be found."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("FTPS_LAB_LFTP", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    monkeypatch.setattr(doctor, "_PACKAGES", ("no-such-package",))
    assert cli.call(["doctor"]) == 3
    out = " ".join(capsys.readouterr().out.split())
    for wanted in (
        "missing lftp no lftp on PATH",
        "to do: apt install lftp",
        "missing openssl no openssl on PATH",
        "to do: apt install openssl",
        "note libfaketime cannot be checked without lftp",
        "missing packages no-such-package costs: no scenario can run to do: pip install no-such-package",
        "missing browser no chromium on PATH: apt-get install chromium",
        "costs: nothing for `ftps-lab`; tests that look at the pages of --html are skipped",
        "missing Docker cannot reach the Docker engine: there is no Docker engine at /nowhere",
        "costs: nothing for `ftps-lab run`; `ftps-lab matrix` and the classroom do not work",
        "`ftps-lab run` cannot do its work here",
    ):
        assert wanted in out, wanted


@pytest.mark.parametrize(
    ("plugin", "old", "detail"),
    [
        (True, True, "docker compose 2.26.1, docker-compose 1.29.2"),
        (True, False, "docker compose 2.26.1; no docker-compose: tests that need it are skipped"),
        (False, True, "docker-compose 1.29.2; no docker compose: tests that need it are skipped"),
        (False, False, "neither docker compose nor docker-compose"),
    ],
)
def test_doctor_names_the_available_and_missing_compose_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, plugin: bool, old: bool, detail: str
) -> None:
    """Without the plugin, docker exists but does not know `compose`."""
    programs = {"docker": "echo 2.26.1" if plugin else "exit 125"} | ({"docker-compose": "echo 1.29.2"} if old else {})
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor._compose()
    assert (finding.state, finding.detail) == ("ok" if plugin or old else "missing", detail)


def test_program_that_is_not_lftp_is_missing(tmp_path: Path) -> None:
    (tmp_path / "lftp").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "lftp").chmod(0o755)
    told = finding("lftp", str(tmp_path / "lftp"))
    assert told.state == "missing"
    assert "is not lftp" in told.detail


def test_system_rc_that_changes_trust_is_a_note_or_stops_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system rc is kept out of runs if the machine allows it; if not, no run proves anything."""
    monkeypatch.setattr("ftps_harness.client.lftp.system_rc_lines", lambda: [(3, "set ssl:verify-certificate no")])
    monkeypatch.setattr("ftps_harness.client.lftp.keep_out_system_rc", lambda: ("unshare",))
    kept_out = finding("system rc")
    assert kept_out.state == "note"
    assert "line 3: set ssl:verify-certificate no" in kept_out.detail
    monkeypatch.setattr("ftps_harness.client.lftp.keep_out_system_rc", lambda: None)
    assert not works([finding("system rc")])


@pytest.mark.lftp
def test_missing_libfaketime_only_skips_scenarios_with_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftps_harness.client.lftp.why_no_clock", lambda _: "libfaketime is not installed")
    told = finding("libfaketime")
    assert (told.state, told.cost) == ("missing", "scenarios with `clock` are skipped")
    assert works([told])


def test_openssl_that_does_not_run_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openssl").write_text("no program")
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = finding("openssl")
    assert told.state == "missing"
    assert told.needed


def test_tmpdir_that_lftp_cannot_use_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files then go to another folder."""
    odd = tmp_path / "with blank"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    found = finding("temporary files")
    assert found.state == "note"
    assert str(odd) in found.detail
    assert list(odd.iterdir()) == []


def test_unusable_temporary_folder_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    found = finding("temporary files")
    assert (found.state, found.needed) == ("missing", True)
    assert "No usable temporary directory found; free disk space, or set TMPDIR" in found.detail


@pytest.mark.parametrize("command", [["doctor"], ["run", "document/expired", "--place", "loopback"]])
def test_loopback_that_is_down_exits_3_with_the_remedy(command: list[str]) -> None:
    """In a new network namespace loopback is down; waiting for a connection would never end."""
    unshare = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("unshare --net is not permitted here (doctor: unshare)")
    call = [*unshare, sys.executable, "-m", "ftps_harness", *command]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    said = " ".join((done.stdout + done.stderr).split())
    assert "cannot connect to 127.0.0.1, where all servers listen: Network is unreachable" in said
    assert "bring the loopback up (ip link set lo up)" in said
    assert "apt install lftp" not in said


class FakeEngine:
    """A Docker engine with the given images, which can pull others only from a registry."""

    version, where = "27.0", "here"

    def __init__(self, *images: str, registry: bool = False) -> None:
        self.api = self
        self._images = set(images)
        self._registry = registry
        self.asked: list[str] = []

    def inspect_image(self, name: str) -> dict[str, str]:
        if name not in self._images:
            raise ImageNotFound(name)
        return {"Id": name}

    def pull(self, name: str, tag: str) -> None:
        self.asked.append(f"{name}:{tag}")
        if not self._registry:
            raise LabError("cannot fetch: no such host")
        self._images.add(f"{name}:{tag}")

    @contextlib.contextmanager
    def errors(self, _doing: str) -> Iterator[None]:
        yield

    def close(self) -> None: ...


def test_missing_base_images_are_a_note_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor looks at this machine only and asks no registry; tests that need the images skip with the same text."""
    engine: Any = FakeEngine("debian:sid-slim")
    monkeypatch.setattr(containers, "why_no_engine", lambda: "")
    monkeypatch.setattr(containers, "connect", lambda: engine)
    found = finding("Docker")
    assert found.state == "note"
    missing = "debian:bookworm-slim, debian:bullseye-slim, debian:trixie-slim"
    assert f"base images not on this machine: {missing};" in found.detail
    assert "build them with `.ci/base-images` from ftps-lab's repository" in found.detail
    assert engine.asked == []
    assert containers.why_no_bases(engine, fetch=True) in found.detail
    assert engine.asked == ["debian:bookworm-slim"]


def test_fetchable_base_images_do_not_skip_tests() -> None:
    engine: Any = FakeEngine(registry=True)
    assert containers.why_no_bases(engine) != ""
    assert containers.why_no_bases(engine, fetch=True) == ""
    assert containers.why_no_bases(engine) == ""
