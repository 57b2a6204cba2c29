"""The real daemons, each in its own container: `real_daemons.py` runs there because the three packages conflict."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_lab import containers
from ftps_lab.daemons import NEEDS

if TYPE_CHECKING:
    from ftps_lab.containers import Engine

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).with_name("real_daemons.py")
PYTEST_PACKAGES = ("py", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""Pure Python packages, so this machine's copies work in the container."""


@pytest.fixture(scope="module")
def pytest_for_containers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pytest")
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to(tmp_path_factory.getbasetemp()):
            path.chmod(path.stat().st_mode | 0o055)
    for name in PYTEST_PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        if found.submodule_search_locations is None:
            shutil.copy(found.origin, folder)
        else:
            shutil.copytree(Path(found.origin).parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TESTS, folder)
    return folder


@pytest.mark.parametrize("kind", sorted(NEEDS))
def test_real_daemon_passes_its_tests_in_its_container(kind: str, pytest_for_containers: Path, engine: Engine) -> None:
    """With no more privileges than the matrix grants it."""
    needs = NEEDS[kind]
    command = ["python", "-m", "pytest", "-q", "-rs", "-c", "/dev/null", "--rootdir=/tmp", "-p", "no:cacheprovider"]
    command += [
        "--import-mode=importlib",
        "-k",
        "vsftpd and not reuse" if kind == "vsftpd" else kind,
        str(pytest_for_containers / TESTS.name),
    ]
    image = containers.ensure(engine, containers.SERVERS[kind])
    with containers.Session(engine) as session:
        container = session.container(
            image,
            network=session.network(kind),
            name=kind,
            mounts=[containers.Mount(pytest_for_containers, read_only=True)],
            user="0:0" if needs.user == "root" else "1000:1000",
            capabilities=needs.capabilities,
            environment={"PYTHONPATH": str(pytest_for_containers)},
        )
        done = container.run(command, timeout=300)
    shown = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.code == 0, shown
    passed = re.search(r"(\d+) passed", shown)
    assert passed is not None, shown
    assert int(passed[1]) >= 15, shown
