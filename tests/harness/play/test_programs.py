"""A program starts in a sealed place, wherever it is and whatever files it needs beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ftps_harness
import ftps_lab
from ftps_harness.play.places.programs import needed
from ftps_harness.play.places.sealed import Sealed
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.view import INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.sandbox.process import Finished

SITE = f"lib/python3.{sys.version_info.minor}/site-packages"


def start(program: Path, *arguments: str) -> Finished:
    """Start it as cron would, with almost no environment."""
    with Sealed([program]) as place, Home(place.parent, place.inside) as home:
        environment = {"HOME": str(home.home), "PATH": "/usr/bin:/bin"}
        return place.starter(home)([str(program), *arguments], env=environment, cwd=home.home, timeout=30)


@pytest.fixture(params=["temporary", "beside"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Below /tmp, and below the checkout's top folder (/home, /root, …); both are hidden inside."""
    if request.param == "temporary":
        yield tmp_path
        return
    if " " in (parent := str(Path(__file__).parent)):
        pytest.skip(
            "the kernel reads an interpreter's path in a first line only up to a blank, and the checkout's has one"
        )
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def checkout(folder: Path) -> Path:
    """A checkout as `make setup` leaves it, with this project installed in development mode; its ``ftps-lab``."""
    environment = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    ours = [Path(package.__path__[0]) for package in (ftps_lab, ftps_harness)]
    for package in ours:
        shutil.copytree(package, folder / package.parent.name / package.name, ignore=shutil.ignore_patterns("*.pyc"))
    libraries = sysconfig.get_path("purelib")
    (environment / SITE / "all.pth").write_text(
        f"# ours\n../../../../lab\n../../../../harness\nimport sys\n{libraries}\n"
    )
    text = f"#!{environment}/bin/python3\nfrom ftps_harness.cli import main\nimport sys\nsys.exit(main())\n"
    return write(environment / "bin/ftps-lab", text)


@pytest.mark.usefixtures("sealed_here")
class TestStart:
    def test_ftps_lab_of_a_checkout_starts(self, folder: Path) -> None:
        done = start(checkout(folder), "--help")
        assert (done.exit_code, done.stderr) == (0, b"")
        assert b"verify" in done.stdout

    def test_installed_ftps_lab_starts(self) -> None:
        """The ``ftps-lab`` that is installed here."""
        program = Path(sys.executable).parent / "ftps-lab"
        if not program.exists():
            pytest.skip("ftps-lab is not installed beside this Python")
        done = start(program, "--help")
        assert (done.exit_code, done.stderr) == (0, b"")

    @pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare of util-linux")
    def test_ftps_lab_starts_for_an_ordinary_user(self, folder: Path) -> None:
        """A user without root rights or capabilities, even if root runs the tests."""
        script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_programs import start
done = start(Path({str(checkout(folder))!r}), '--help')
print(done.exit_code, done.stderr, b'verify' in done.stdout)
"""
        command = ["unshare", "--user", "--map-user=1234", "--map-group=1234", sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == "0 b'' True\n", done.stderr

    def test_script_behind_links_with_its_own_interpreter_starts(self, folder: Path) -> None:
        """Each link is in another folder, and one of the folders is a link itself."""
        (folder / "shells").mkdir()
        shutil.copy("/bin/sh", folder / "shells/sh")
        (folder / "linked").symlink_to("shells")
        (folder / "names").mkdir()
        (folder / "names/shell").symlink_to("../linked/sh")
        write(folder / "real/tool", f"#!{folder}/names/shell\necho ran $0\n")
        (folder / "bin").mkdir()
        (folder / "bin/tool").symlink_to("../real/tool")
        done = start(folder / "bin/tool")
        assert (done.exit_code, done.stdout) == (0, f"ran {folder}/bin/tool\n".encode())

    def test_script_in_tmp_is_the_only_file_shown_there(self, tmp_path: Path) -> None:
        """The sealed folder stays visible."""
        with tempfile.NamedTemporaryFile("w", dir="/tmp", suffix=".sh", delete=False) as file:
            file.write("#!/bin/sh\nls /tmp; pwd; touch $HOME/x\n")
        script = Path(file.name)
        script.chmod(0o755)
        try:
            done = start(script)
        finally:
            script.unlink()
        assert sorted(done.stdout.decode().split()) == sorted([script.name, "ftps-lab", f"{INSIDE}/home"])
        assert done.exit_code == 0

    def test_program_written_later_starts(self, tmp_path: Path) -> None:
        with Sealed([tmp_path / "later"]) as place, Home(place.parent, place.inside) as home:
            program = write(tmp_path / "later", "#!/bin/sh\necho ran\n")
            done = place.starter(home)([str(program)], env={}, cwd=home.home, timeout=30)
        assert done.stdout == b"ran\n"

    def test_missing_program_needs_only_its_folder(self, tmp_path: Path) -> None:
        assert needed(tmp_path / "none") == [tmp_path]
        assert needed(tmp_path / "none/none") == []
        assert needed(Path(INSIDE).parent / "none") == []  # showing all of /tmp would hide the sealed folder


class TestNeeded:
    def test_virtual_environment_needs_its_base_and_pth_folders(self, tmp_path: Path) -> None:
        write(tmp_path / "base/bin/python3", "")
        (tmp_path / "base/lib").mkdir()
        write(tmp_path / "env/bin/python", "")
        write(tmp_path / "env/pyvenv.cfg", f"home = {tmp_path}/base/bin\n")
        site = tmp_path / "env" / SITE
        lines = f"{tmp_path}/one\n\n# {tmp_path}/no\nimport sys; '{tmp_path}/no'\n../none\n"
        write(site / "a.pth", "").write_bytes(lines.encode() + b"\xff\n")
        for name in ("one", "no"):
            (tmp_path / name).mkdir()
        assert [str(path.relative_to(tmp_path)) for path in needed(tmp_path / "env/bin/python")] == [
            *("base", "base/bin", "env", "env/bin", "one")
        ]

    @pytest.mark.parametrize("editable", [True, False, None])
    def test_editable_project_is_needed(self, tmp_path: Path, editable: bool | None) -> None:
        write(tmp_path / "env/bin/python3.11", "")
        write(tmp_path / "env/pyvenv.cfg", "")
        site = tmp_path / "env" / SITE
        write(site / "__editable___x_1_0_finder.py", "")
        (tmp_path / "my project").mkdir()
        direct_url = {"url": f"file://{tmp_path}/my%20project", "dir_info": {"editable": editable}}
        write(site / "x-1.0.dist-info/direct_url.json", json.dumps(direct_url) if editable is not None else "[{")
        found = needed(tmp_path / "env/bin/python3.11")
        assert ((tmp_path / "my project") in found) == bool(editable)

    @pytest.mark.parametrize(
        ("first", "expected"),
        [
            ("#!/usr/bin/env sh", ["/usr/bin"]),
            ("#!/usr/bin/env -S A=b sh -e", ["/usr/bin"]),
            ("#! {here}/int/prog -x", ["{here}/int"]),
            ('#!/bin/sh\n\'\'\'exec\' "{here}/int/prog" "$0" "$@"', ["{here}/int"]),
            ("#!/bin/sh\n'''exec' {here}/int/prog \"$0\" \"$@\"", ["{here}/int"]),
            ("#!{here}/int/none", []),
            ("#!", []),
            ("", []),
            ("#!/usr/bin/env -S 'a", []),
        ],
    )
    def test_interpreter_of_the_first_line_is_needed(self, tmp_path: Path, first: str, expected: list[str]) -> None:
        write(tmp_path / "int/prog", "")
        script = write(tmp_path / "own/tool", first.format(here=tmp_path) + "\necho\n")
        found = {str(path) for path in needed(script)}
        assert str(tmp_path / "own") in found
        assert {each.format(here=tmp_path) for each in expected} <= found
        assert (str(tmp_path / "int") in found) == ("{here}/int" in expected)

    def test_prefix_behind_a_linked_folder_is_needed(self, tmp_path: Path) -> None:
        write(tmp_path / "real/bin/tool", "")
        (tmp_path / "real/lib").mkdir()
        (tmp_path / "bin").symlink_to("real/bin")
        assert tmp_path / "real" in needed(tmp_path / "bin/tool")

    def test_circular_links_and_scripts_end(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        assert needed(tmp_path / "a") == [tmp_path]
        script = write(tmp_path / "self", f"#!{tmp_path}/self\n")
        assert needed(script) == [tmp_path]

    def test_folder_and_fifo_need_only_their_folder(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert needed(tmp_path / "fifo") == [tmp_path]
        assert needed(tmp_path) == [tmp_path.parent]
