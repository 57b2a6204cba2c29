"""The recipes of docs/ci.md: their files fit their readers' schemas, and their commands do what the page says.

Commands that install packages or change kernel settings are only parsed; test_action.py runs the action's own steps.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from ruamel.yaml import YAML
from tests.harness.cli.test_action import ACTION, schema_check

from ftps_harness.sandbox import sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/ci.md").read_text("utf-8")
QUICK = " --only impostor-copy"
"""Added to each `verify` to keep it short."""


def block(heading: str, language: str) -> str:
    """The block in a language below a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    found = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def recipe(heading: str) -> Any:
    return YAML(typ="safe").load(block(heading, "yaml"))


@pytest.fixture
def checkout(tmp_path: Path, sealed_here: None) -> Path:
    """A repository with a setup, a HOME with another setup, and ftps-lab where the recipes install it."""
    for name in ("checkout/deploy", "home/.lftp", "home/.ftps-lab"):
        (tmp_path / name).mkdir(parents=True, mode=0o700)
    for name in ("checkout/.ftps-lab", "home/.ftps-lab", "opt"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "bin").symlink_to(Path(sys.executable).parent)
    return tmp_path / "checkout"


def run(script: str, checkout: Path, env: Mapping[str, str] = os.environ, *, posix: bool = False) -> tuple[int, str]:
    home = str(checkout.parent / "home")
    path = f"{checkout.parent}/opt/bin:{env['PATH']}"
    script = re.sub(r"\bftps-lab verify\b", f"\\g<0>{QUICK}", script)
    done = subprocess.run(
        ["sh" if posix else "bash", "-ec", script],
        cwd=checkout,
        env={**env, "HOME": home, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def failures(file: Path) -> int:
    (suite,) = ET.fromstring(file.read_text())  # noqa: S314 - we wrote this file
    return int(suite.get("failures", ""))


def test_github_workflow_fits_the_schema_and_the_action(tmp_path: Path) -> None:
    workflow = tmp_path / "lftp.yaml"
    workflow.write_text(block("GitHub", "yaml"))
    schema_check("vendor.github-workflows", workflow)
    steps = recipe("GitHub")["jobs"]["verify"]["steps"]
    (ours,) = (step for step in steps if "ftps-lab@" in step.get("uses", ""))
    assert set(ours["with"]) <= set(ACTION["inputs"])
    said = re.findall(r"steps\.verify\.outputs\.([\w-]+)", str(steps))
    assert set(said) <= set(ACTION["outputs"])
    assert len(said) == 2
    (granted,) = (step["run"] for step in steps if "run" in step)
    name, value, _ = sandbox._SWITCHES[0]
    assert granted == f"sudo sysctl -q {name.replace('/', '.')}={value}"


def test_commands_that_allow_namespaces_match_the_sandbox() -> None:
    assert f"`{sandbox._CONTAINER}`" in PAGE
    name, value, _ = sandbox._SWITCHES[0]
    assert f"`sysctl {name.replace('/', '.')}={value}`" in PAGE


def scripts() -> list[str]:
    gitlab = recipe("GitLab")["verify-lftp"]
    jenkins = re.findall(r"sh '''(.*?)'''", block("Jenkins", "groovy"), re.DOTALL)
    return ["\n".join(gitlab["before_script"]), *gitlab["script"], *jenkins, block("cron", "sh"), cron_job()]


def cron_job() -> str:
    """The command that cron passes to the shell."""
    *times, command = block("cron", "crontab").strip().split(" ", 5)
    assert len(times) == 5
    assert "%" not in command  # cron reads it as a line end
    return command


def test_every_script_parses_as_shell() -> None:
    assert len(scripts()) == 6
    for script in scripts():
        subprocess.run(["sh", "-n", "-c", script], check=True, timeout=10)


@pytest.mark.long
@pytest.mark.lftp
@pytest.mark.parametrize("where", ["GitLab", "Jenkins"])
def test_job_fails_for_an_unsafe_setup_and_leaves_its_report(where: str, checkout: Path, tmp_path: Path) -> None:
    if where == "GitLab":
        (tmp_path / "ci.yml").write_text(block("GitLab", "yaml"))
        schema_check("vendor.gitlab-ci", tmp_path / "ci.yml")
    script = scripts()[1] if where == "GitLab" else scripts()[3]
    (checkout / "deploy/rc").write_text("set ftp:ssl-force yes\nset ssl:verify-certificate no\n")
    code, said = run(script, checkout)
    assert code == 1, said
    assert failures(checkout / "verify.xml") > 0
    (checkout / "deploy/rc").write_text("set ftp:ssl-force yes\n")
    assert run(script, checkout)[0] == 0
    assert failures(checkout / "verify.xml") == 0


@pytest.mark.long
@pytest.mark.lftp
def test_cron_job_prints_only_for_an_unsafe_setup(checkout: Path) -> None:
    """The job runs in cron's nearly empty environment, with cron's shell."""
    env = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "me"}
    rc = checkout.parent / "home/.lftp/rc"
    rc.write_text("set ftp:ssl-force yes\n")
    code, said = run(cron_job(), checkout, env, posix=True)
    assert (code, said) == (0, "")
    rc.write_text("set ftp:ssl-force yes\nset ssl:verify-certificate no\n")
    code, said = run(cron_job(), checkout, env, posix=True)
    assert said.startswith("NOT SAFE: 1 error.")
