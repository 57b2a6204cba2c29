"""`.ci/base-images` on simulated machines: docker, debootstrap and everything that needs root are fakes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "base-images"
NEEDED = ("awk", "bash", "cat", "cp", "df", "env", "mkdir", "mktemp", "printf", "rm", "sleep", "sort", "tail", "tar")
"""Programs that every system has; everything else on PATH is a fake."""

DOCKER = """
case "$1 $2" in
    "image inspect") [ -e "$IMAGES/$3" ] ;;
    "image rm") rm "$IMAGES/$3" ;;
    "import --change") cat >"$IMAGES/content-$$"
        [ ! -e "$IMAGES/full" ] || { echo no space left >&2; exit 1; }
        echo whole >"$IMAGES/sha256:$$"; echo sha256:$$ ;;
    "tag sha256:"*) cp "$IMAGES/$2" "$IMAGES/$3" ;;
esac
"""
DEBOOTSTRAP = """
for root; do case $root in /*) break ;; esac; done
mkdir -p "$root/usr/local/share/ca-certificates"
echo content >"$root/file"
"""


class Machine:
    """A PATH with only what a test puts there, for a user that `id` reports as root."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.images, self.work = folder / "bin", folder / "images", folder / "work"
        self.log = folder / "log"
        for each in (self.bin, self.images, self.work):
            each.mkdir()
        for name in NEEDED:
            found = shutil.which(name)
            if found is not None:  # printf may exist only as a shell builtin
                (self.bin / name).symlink_to(found)
        self.program("id", "echo 0")
        self.program("docker", DOCKER)
        self.program("debootstrap", DEBOOTSTRAP)
        self.program("apt-get", "echo http://mirror.example/debian; echo http://other.example/debian")
        self.program("mount", "exit 1")
        self.program("umount")
        self.program("chroot")
        (folder / "keys").touch()
        self.environment = {
            "PATH": str(self.bin),
            "IMAGES": str(self.images),
            "TMPDIR": str(self.work),
            "FTPS_LAB_KEYRING": str(folder / "keys"),
        }

    def program(self, name: str, script: str = "exit 0") -> None:
        """Put a program on PATH that logs its calls."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f'#!{shutil.which("bash")}\necho "{name} $*" >>{self.log}\n{script}\n')
        path.chmod(0o755)

    def start(self, *suites: str) -> subprocess.Popen[str]:
        """Start the script."""
        return subprocess.Popen(
            [str(self.bin / "bash"), str(SCRIPT), *suites],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def make(self, *suites: str) -> tuple[int, str, str]:
        """Exit code and both streams; in any case, nothing is left in the folder for temporary files."""
        with self.start(*suites) as process:
            out, err = process.communicate(timeout=60)
        assert list(self.work.iterdir()) == []
        return process.returncode, out, err

    def made(self) -> set[str]:
        """The tagged images."""
        names = {path.name for path in self.images.iterdir()}
        return {name for name in names if name.startswith("debian:")}

    def calls(self, name: str) -> list[str]:
        """The calls of a program."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.split()[0] == name]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_missing_images_are_made(machine: Machine) -> None:
    """From this machine's mirror, checked against its keys; an existing image is left alone."""
    (machine.images / "debian:sid-slim").touch()
    code, out, err = machine.make()
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [
        "base-images: debian:sid-slim exists",
        *(f"base-images: made debian:{suite}-slim" for suite in ("bookworm", "bullseye", "trixie")),
    ]
    calls = machine.calls("debootstrap")
    assert len(calls) == 3
    assert all(call.endswith(" http://mirror.example/debian") for call in calls)
    assert all(f"--keyring={machine.environment['FTPS_LAB_KEYRING']} " in call for call in calls)
    content = next(machine.images.glob("content-*"))
    listing = subprocess.run(["tar", "-tf", content], capture_output=True, text=True, check=True)
    assert {"./file", "./etc/apt/apt.conf.d/90lab"} <= set(listing.stdout.split())


def test_existing_images_need_neither_root_nor_debootstrap(machine: Machine) -> None:
    (machine.images / "debian:sid-slim").touch()
    machine.program("id", "echo 1000")
    (machine.bin / "debootstrap").unlink()
    assert machine.make("sid") == (0, "base-images: debian:sid-slim exists\n", "")
    assert machine.calls("apt-get") == []


def test_suite_given_twice_is_made_once(machine: Machine) -> None:
    code, _, _ = machine.make("trixie", "trixie")
    assert (code, len(machine.calls("debootstrap"))) == (0, 1)


def test_image_name_is_configurable(machine: Machine) -> None:
    machine.environment["FTPS_LAB_BASE"] = "debian:mine-%"
    assert machine.make("sid")[:2] == (0, "base-images: made debian:mine-sid\n")
    assert machine.made() == {"debian:mine-sid"}


@pytest.mark.parametrize(
    ("suite", "name", "sentence"),
    [
        ("../etc", "debian:%-slim", "'../etc' is not a Debian suite"),
        ("-f", "debian:%-slim", "'-f' is not a Debian suite"),
        ("", "debian:%-slim", "'' is not a Debian suite"),
        ("sid", "debian:slim", "FTPS_LAB_BASE is 'debian:slim': write %"),
    ],
)
def test_invalid_arguments_exit_2_with_a_sentence(machine: Machine, suite: str, name: str, sentence: str) -> None:
    machine.environment["FTPS_LAB_BASE"] = name
    code, _, err = machine.make(suite)
    assert code == 2
    assert sentence in err
    assert not machine.log.exists()


def test_missing_docker_exits_3(machine: Machine) -> None:
    (machine.bin / "docker").unlink()
    code, _, err = machine.make("sid")
    assert (code, err) == (3, "base-images: no docker on PATH: install it (Debian: docker.io)\n")


def test_engine_that_does_not_answer_exits_3(machine: Machine) -> None:
    machine.program("docker", "echo cannot connect >&2; exit 1")
    code, _, err = machine.make("sid")
    assert code == 3
    assert err.startswith("cannot connect\nbase-images: the Docker engine does not answer")


def test_user_other_than_root_exits_3(machine: Machine) -> None:
    machine.program("id", "echo 1000")
    code, _, err = machine.make("sid")
    assert (code, err) == (3, "base-images: debootstrap needs root: run this as root\n")


def test_missing_debootstrap_is_installed(machine: Machine) -> None:
    (machine.bin / "debootstrap").rename(machine.bin / "hidden")
    machine.program("apt-get", f"case $1 in install) cp {machine.bin}/hidden {machine.bin}/debootstrap ;; esac")
    assert machine.make("sid")[0] == 0
    assert machine.calls("apt-get")[1] == "apt-get install -y -qq --no-install-recommends debootstrap"


@pytest.mark.parametrize("failing", ["update", "install"])
def test_failed_installation_of_debootstrap_exits_3(machine: Machine, failing: str) -> None:
    (machine.bin / "debootstrap").unlink()
    machine.program("apt-get", f"[ $1 != {failing} ] || {{ echo no such package; exit 100; }}")
    code, _, err = machine.make("sid")
    assert (code, err) == (3, "no such package\nbase-images: could not install debootstrap, see above\n")


def test_missing_debootstrap_and_apt_exit_3(machine: Machine) -> None:
    for name in ("debootstrap", "apt-get"):
        (machine.bin / name).unlink()
    code, _, err = machine.make("sid")
    assert code == 3
    assert "no debootstrap on PATH, and no apt-get to install it" in err


def test_full_disk_is_noticed_before_debootstrap(machine: Machine) -> None:
    machine.program("df", "echo header; echo disk 9999999 9989999 10000 100% /")
    code, _, err = machine.make("sid")
    assert code == 3
    assert "has only 9 MiB free" in err
    assert machine.calls("debootstrap") == []


@pytest.mark.parametrize(
    ("program", "script", "sentence"),
    [
        (
            "debootstrap",
            "echo E: Invalid Release; exit 1",
            "E: Invalid Release\nbase-images: debootstrap of sid failed",
        ),
        ("chroot", "echo broken >&2; exit 1", "broken\nbase-images: update-ca-certificates in sid failed"),
        ("tar", "echo halb; exit 2", "base-images: docker import of sid failed"),
    ],
)
def test_failed_suite_is_reported_and_leaves_no_image(
    machine: Machine, program: str, script: str, sentence: str
) -> None:
    """Even if its stream ends early, which the engine accepts as an image. The other suites are made."""
    other = machine.bin / f"real-{program}"
    (machine.bin / program).rename(other)
    machine.program(program, f'case "$*" in *sid*) {script} ;; esac\nexec {other} "$@"')
    code, out, err = machine.make("sid", "trixie", "bookworm")
    assert code == 3
    assert sentence in err
    assert sorted(out.split()[-1] for out in out.splitlines()) == ["debian:bookworm-slim", "debian:trixie-slim"]
    assert machine.made() == {"debian:bookworm-slim", "debian:trixie-slim"}


def test_full_engine_exits_3_and_leaves_no_image(machine: Machine) -> None:
    (machine.images / "full").touch()
    code, _, err = machine.make("sid")
    assert code == 3
    assert "no space left\nbase-images: docker import of sid failed, see above; check the free space" in err
    assert machine.made() == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_all_children_and_leaves_nothing(machine: Machine, number: signal.Signals) -> None:
    machine.program("debootstrap", f"{DEBOOTSTRAP}\necho $$ >>{machine.log}.pids; sleep 600")
    pids = Path(f"{machine.log}.pids")
    with machine.start("sid", "trixie") as process:
        until = time.monotonic() + 20
        while not (pids.exists() and len(pids.read_text().split()) == 2):
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(process.pid, number)
        process.communicate(timeout=20)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert list(machine.work.iterdir()) == []
    assert machine.made() == set()
    for pid in pids.read_text().split():
        assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()
