"""`tools/setup.sh` on simulated machines: each package manager is a fake that logs its calls."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "setup.sh"
NEEDED = ("sh", "cat", "cut", "cksum", "dirname", "rm")
"""Programs that every system has; everything else on PATH is a fake."""


class Machine:
    """A PATH with only what a test puts there, and a checkout whose environment is ready."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.checkout = folder / "checkout"
        self.log = folder / "log"
        self.bin.mkdir()
        for name in NEEDED:
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)
        self.program("id", "echo 0")  # root, regardless of who runs the tests
        self.program("python3", f'exec {shlex.quote(sys.executable)} "$@"')
        (self.checkout / "tools").mkdir(parents=True)
        shutil.copy(SCRIPT, self.checkout / "tools")
        (self.checkout / "lab/images/lab").mkdir(parents=True)
        names = ("lab/images/lab/requirements.lock", "lab/images/lab/build.lock", "pyproject.toml")
        for name in names:
            (self.checkout / name).write_text(name)
        (self.checkout / ".venv").mkdir()
        text = "".join(names).encode()
        state = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout
        (self.checkout / ".venv" / ".ready").write_bytes(state)

    def program(self, name: str, script: str = "exit 0") -> None:
        """Put a program on PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def manager(self, name: str, *, works: bool = True) -> None:
        """Add a package manager that logs its arguments and, on an install, provides lftp and openssl."""
        bring = (
            f'for p in lftp openssl; do printf "#!/bin/sh\\n" > {self.bin}/$p; done'
            if works
            else "echo no such package; exit 7"
        )
        case = f'case "$*" in *lftp*) {bring};; esac'
        self.program(name, f'echo "{name} $*" >> {self.log}\n{case}')

    def set_up(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the script as `make` does."""
        return subprocess.run(
            [str(self.bin / "sh"), str(self.checkout / "tools" / "setup.sh"), *more],
            env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """The arguments of all calls."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("manager", "install"),
    [
        ("apt-get", "apt-get install -y -qq --no-install-recommends lftp openssl faketime python3-venv"),
        ("dnf", "dnf install -y -q lftp openssl libfaketime"),
        ("apk", "apk add -q lftp openssl libfaketime"),
        ("pacman", "pacman -S --noconfirm -q lftp openssl libfaketime"),
        ("zypper", "zypper -nq install lftp openssl libfaketime"),
        ("brew", "brew install -q lftp openssl libfaketime"),
    ],
)
def test_each_package_manager_installs_missing_packages(machine: Machine, manager: str, install: str) -> None:
    machine.manager(manager)
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.calls[-1] == install
    assert "missing: lftp openssl" in done.stdout


def test_complete_machine_prints_and_calls_nothing(machine: Machine) -> None:
    machine.manager("apt-get")
    for name in ("lftp", "openssl"):
        machine.program(name)
    done = machine.set_up()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls == []


def test_path_with_which_no_script_starts_is_refused(tmp_path: Path) -> None:
    """pip writes it between double quotes into each script; other quotes and blanks work."""
    for name, code in (("it's a \\ b; $x", 0), ('a"b', 3)):
        (tmp_path / name).mkdir()
        machine = Machine(tmp_path / name)
        for program in ("lftp", "openssl"):
            machine.program(program)
        done = machine.set_up()
        assert done.returncode == code, done.stderr
        assert ("contains a double quote" in done.stderr) is (code != 0)


def test_lftp_named_in_a_variable_need_not_be_on_path(machine: Machine) -> None:
    machine.program("openssl")
    script = machine.checkout / "tools" / "setup.sh"
    done = subprocess.run(
        [str(machine.bin / "sh"), str(script)],
        env={"PATH": str(machine.bin), "FTPS_LAB_LFTP": "/opt/lftp"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_machine_without_a_known_package_manager_exits_3(machine: Machine) -> None:
    done = machine.set_up()
    assert done.returncode == 3
    assert "missing: lftp openssl. This machine has none of apt-get, dnf, apk, pacman, zypper and brew" in done.stderr


def test_failed_install_shows_the_package_managers_output(machine: Machine) -> None:
    machine.manager("dnf", works=False)
    done = machine.set_up()
    assert done.returncode == 3
    assert "installing failed" in done.stderr
    assert "no such package" in done.stderr


def test_old_python_exits_3(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    machine.program("python3", "exit 1")
    done = machine.set_up()
    assert done.returncode == 3
    assert "no Python 3.11 or newer was found" in done.stderr


def test_sudo_is_used_only_by_users_other_than_root(machine: Machine, tmp_path: Path) -> None:
    """The user is the one that `id` reports."""
    machine.program("id", "echo 1000")
    machine.manager("dnf")
    done = machine.set_up()
    assert done.returncode == 3
    assert "sudo is missing: as root, run: dnf install" in " ".join(done.stderr.split())
    machine.program("sudo", f'echo "sudo $1" >> {machine.log}; exec "$@"')
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert "sudo dnf" in machine.calls


def set_up_new_environment(machine: Machine, check: str) -> subprocess.CompletedProcess[str]:
    """Set up after the lock changed; the new environment's Python logs its calls, and its `pip check` runs `check`."""
    for name in ("mkdir", "cp"):
        (machine.bin / name).symlink_to(shutil.which(name) or "")
    for name in ("lftp", "openssl"):
        machine.program(name)
    machine.program("pip-or-so", f'echo "$*" >> {machine.log}\ncase "$*" in *" check") {check};; esac')
    machine.program(
        "python3",
        f'case "$*" in "-m venv "*) mkdir -p .venv/bin; cp {machine.bin}/pip-or-so .venv/bin/python;; '
        f'*) exec {shlex.quote(sys.executable)} "$@";; esac',
    )
    (machine.checkout / ".venv" / ".ready").unlink()
    return machine.set_up()


def test_lock_is_installed_without_resolving_it(machine: Machine) -> None:
    """Old pip, if it resolved again, would fail once `coverage[toml]` has a newer release than the lock's."""
    done = set_up_new_environment(machine, "echo all is well")
    assert (done.returncode, done.stderr) == (0, "")
    assert "well" not in done.stdout
    (lock,) = [call for call in machine.calls if "/requirements.lock" in call]
    assert "--require-hashes --no-deps" in lock
    assert (machine.checkout / ".venv" / ".ready").exists()


def test_incomplete_lock_exits_3(machine: Machine) -> None:
    """The environment does not count as ready, so the next run tries again."""
    done = set_up_new_environment(machine, "echo pytest-cov requires coverage, which is not installed.; exit 1")
    assert done.returncode == 3
    assert "requires coverage" in done.stderr
    assert "run: make lock" in done.stderr
    assert not (machine.checkout / ".venv" / ".ready").exists()


@pytest.mark.parametrize(("more", "lock"), [("dev", "requirements.lock"), ("pages", "requirements-pages.lock")])
def test_development_packages_are_added_once(more: str, lock: str, machine: Machine) -> None:
    """From their own lock, unresolved and checked."""
    assert set_up_new_environment(machine, "echo all is well").returncode == 0
    (machine.checkout / ".venv/.ready-dev").touch()
    (machine.checkout / lock).write_text("locked")
    before = len(machine.calls)
    for _ in range(2):
        done = machine.set_up(more)
        assert (done.returncode, done.stderr) == (0, "")
    install, check = machine.calls[before:]
    assert install.endswith(f"--require-hashes --no-deps --no-build-isolation -r {lock}")
    assert check.endswith(" check")


def test_setup_installs_no_development_packages(machine: Machine) -> None:
    """They are installed once something needs them."""
    assert set_up_new_environment(machine, "echo all is well").returncode == 0
    locks = [call.rpartition(" ")[2] for call in machine.calls if "--require-hashes" in call]
    assert locks == ["lab/images/lab/build.lock", "lab/images/lab/requirements.lock"]


@pytest.mark.parametrize("path", ["tools/setup.sh", "tools/wheel-test.sh", "lab/images/lab/Dockerfile"])
def test_every_script_installs_locks_without_resolving_them(path: str) -> None:
    """And checks that the lock is complete."""
    text = (SCRIPT.parents[1] / path).read_text().replace("\\\n", " ")
    commands = text.replace("&&", "\n").splitlines()
    installs = [line for line in commands if "--require-hashes" in line]
    assert all("--no-deps" in line for line in installs)
    builds = ["build.lock" in line for line in installs]
    assert builds.index(True) < len(builds) - 1, "build.lock is installed before what it builds"
    assert all(
        ("--only-binary :all:" if build else "--no-build-isolation") in line
        for build, line in zip(builds, installs, strict=True)
    )
    assert "pip --disable-pip-version-check check" in text


def test_pth_file_has_ascii_paths_relative_to_itself(machine: Machine) -> None:
    """Python 3.11 reads .pth files in the locale's encoding: with LC_ALL=C a folder named `ü` would end it at start."""
    packages = machine.checkout / ".venv" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "_editable_impl_ftps_lab.pth").write_text("/home/ü/lab\n/home/ü/harness")
    done = set_up_new_environment(machine, "echo all is well")
    assert (done.returncode, done.stderr) == (0, "")
    paths = (packages / "_editable_impl_ftps_lab.pth").read_text().splitlines()
    assert [(packages / path).resolve() for path in paths] == [machine.checkout / "lab", machine.checkout / "harness"]
