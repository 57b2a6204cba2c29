"""`tools/images.sh` on simulated machines: docker and everything that makes images are fakes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "images.sh"
NEEDED = ("sh", "dirname")
"""Programs that every system has; everything else on PATH is a fake."""

SUITES = ("bookworm", "bullseye", "trixie", "sid")


class Machine:
    """A checkout, and a PATH with a docker that has some images."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.images, self.log = folder / "bin", folder / "images", folder / "log"
        self.checkout = folder / "checkout"
        for made in (self.bin, self.images, self.checkout / "tools", self.checkout / ".ci"):
            made.mkdir(parents=True)
        shutil.copy(SCRIPT, self.checkout / "tools")
        for name in NEEDED:
            (self.bin / name).symlink_to(shutil.which(name) or "")
        self.program(self.checkout / ".ci" / "base-images", f'echo "base-images $*" >>{self.log}')

    def program(self, path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def has(self, *, registry: bool = False, root: bool = True, apt: bool = True) -> None:
        """Set what this machine has: a registry, root, apt-get."""
        pull = f'echo "pull $3" >>{self.log}; ' + (": >" + f'"{self.images}/$3"' if registry else "exit 1")
        look = f'[ -e "{self.images}/$3" ]'
        self.program(self.bin / "docker", f'case "$1 $2" in "image inspect") {look};; "pull -q") {pull};; esac')
        self.program(self.bin / "id", f"echo {0 if root else 1000}")
        if apt:
            self.program(self.bin / "apt-get", "exit 0")

    def call(self) -> tuple[int, str, list[str]]:
        """The exit code, the output, and the calls that it made."""
        command = [str(self.bin / "sh"), str(self.checkout / "tools" / "images.sh")]
        done = subprocess.run(
            command, env={"PATH": str(self.bin)}, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stderr == ""
        return done.returncode, done.stdout, self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_missing_docker_is_silent(machine: Machine) -> None:
    assert machine.call() == (0, "", [])


def test_complete_images_are_silent(machine: Machine) -> None:
    machine.has()
    for suite in SUITES:
        (machine.images / f"debian:{suite}-slim").touch()
    assert machine.call() == (0, "", [])


def test_missing_images_are_fetched(machine: Machine) -> None:
    machine.has(registry=True)
    (machine.images / "debian:sid-slim").touch()
    code, printed, calls = machine.call()
    assert (code, calls) == (0, [f"pull debian:{suite}-slim" for suite in SUITES[:3]])
    assert printed == "images: fetching the base images of Debian's bookworm bullseye trixie\n"


def test_images_are_built_as_root_on_debian_without_a_registry(machine: Machine) -> None:
    machine.has()
    code, printed, calls = machine.call()
    assert (code, calls) == (0, ["pull debian:bookworm-slim", "base-images bookworm bullseye trixie sid"])
    assert "no registry has bookworm bullseye trixie sid; making them with .ci/base-images" in printed


@pytest.mark.parametrize(("root", "apt"), [(False, True), (True, False)])
def test_images_that_cannot_be_built_are_reported_as_skipped(machine: Machine, root: bool, apt: bool) -> None:
    """Make then continues: skipped tests give the same reason."""
    machine.has(root=root, apt=apt)
    code, printed, calls = machine.call()
    assert (code, calls) == (0, ["pull debian:bookworm-slim"])
    assert "as root on Debian, .ci/base-images makes them. Everything that needs them is skipped" in printed
