"""`action.yml` as a GitHub runner runs it: its shell steps, with the files for outputs and summary."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sarif_kit.validate import validation_errors

from ftps_harness.cli.commands import COMMANDS

ROOT = Path(__file__).parents[3]
ACTION: dict[str, Any] = YAML(typ="safe").load((ROOT / "action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
QUICK = "--only impostor-copy"
OFF = "set ftp:ssl-force yes\nset ssl:verify-certificate no\n"


def schema_check(schema: str, file: Path) -> None:
    """Validate a file against a schema bundled with check-jsonschema."""
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", schema, file], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Runner:
    """A job: a checkout, and the files that GitHub gives to each step."""

    folder: Path
    inputs: dict[str, str] = field(default_factory=dict)
    printed: str = ""

    def __post_init__(self) -> None:
        self.checkout = self.folder / "checkout"
        for name in ("temp", "home", "checkout/deploy"):
            (self.folder / name).mkdir(parents=True)
        for name in ("output", "summary"):
            (self.folder / name).write_text(f"{name} of an earlier step\n")

    def ready(self) -> None:
        """Put this project's environment where the install step would create one."""
        (self.folder / "temp/ftps-lab").mkdir()
        (self.folder / "temp/ftps-lab/bin").symlink_to(Path(sys.executable).parent)

    def rc(self, text: str) -> None:
        (self.checkout / "deploy/rc").write_text(text)

    def step(self, step: dict[str, Any], **more: str) -> int:
        """Run a step the way `shell: bash` does."""
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        env = {
            **{
                name: value
                for name, value in os.environ.items()
                if name.startswith(("PIP_", "PATH", "LANG", "FTPS_LAB"))
            },
            **{name: self._expanded(value) for name, value in step.get("env", {}).items()},
            "HOME": str(self.folder / "home"),
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path("~/.cache/pip").expanduser())),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            **more,
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.checkout, env=env, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        self.printed = done.stdout + done.stderr
        return done.returncode

    def verify(self, **inputs: str) -> int:
        self.inputs = inputs
        return self.step(next(step for step in STEPS if step.get("id") == "verify"))

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def _expanded(self, value: str) -> str:
        (name,) = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value).groups()  # type: ignore[union-attr]
        return self.inputs.get(name, str(ACTION["inputs"][name]["default"]))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def ready(runner: Runner, sealed_here: None) -> Runner:
    runner.ready()
    return runner


def test_action_is_valid_and_has_only_safe_shell_steps() -> None:
    schema_check("vendor.github-actions", ROOT / "action.yml")
    assert ACTION["runs"]["using"] == "composite"
    assert [step for step in STEPS if "uses" in step or step["shell"] != "bash"] == []
    # The shell would evaluate an expression in a script, with any content of an input.
    assert [step["name"] for step in STEPS if "${{" in step["run"]] == []


@pytest.mark.lftp
@pytest.mark.skipif(
    "FTPS_LAB_TEST_INSTALL" not in os.environ, reason="installs packages for half a minute: make wheel-test runs it"
)
def test_steps_install_verify_and_write_the_reports(runner: Runner, sealed_here: None) -> None:
    """The steps install ftps-lab from the locks, verify a setup and write a report."""
    runner.rc(OFF)
    runner.inputs = {"path": "deploy/rc", "args": QUICK, "python": sys.executable}
    codes = []
    for step in STEPS:
        codes.append(runner.step(step))
        assert codes[-1] == 0 or step is STEPS[-1], runner.printed
    assert codes[-1] == 1, runner.printed
    assert runner.printed.startswith("NOT SAFE: 1 error.")
    assert "title=no-verification::" in runner.printed
    assert runner.outputs == {"exit-code": "1", "sarif": "ftps-lab.sarif"}
    assert (runner.folder / "output").read_text().startswith("output of an earlier step\n")
    summary = (runner.folder / "summary").read_text()
    assert summary.startswith("summary of an earlier step\n## ftps-lab verify: `deploy/rc` is not safe\n")
    data = json.loads((runner.checkout / "ftps-lab.sarif").read_text())
    assert validation_errors(data) == []
    location = data["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "deploy/rc"


def test_install_step_uses_hashed_locks_in_its_own_environment(runner: Runner) -> None:
    """The action installs into a virtual environment of its own; this test downloads nothing."""
    log = runner.folder / "log"
    python = runner.folder / "python"
    made = runner.folder / "temp/ftps-lab/bin"
    python.write_text(f"#!/bin/sh\nIFS='|'; echo \"$*\" >>{log}\nmkdir -p {made}\ncp {python} {made}/python\n")
    python.chmod(0o755)
    runner.inputs = {"python": str(python)}
    assert runner.step(STEPS[1]) == 0, runner.printed
    first, *installs = [line.split("|") for line in log.read_text().splitlines()]
    assert first == ["-m", "venv", f"{runner.folder}/temp/ftps-lab"]
    assert all("--no-deps" in each for each in installs)
    locks = [(each[-1], "--require-hashes" in each) for each in installs]
    folder = ROOT / "lab/images/lab"
    assert locks == [(f"{folder}/build.lock", True), (f"{folder}/requirements.lock", True), (str(ROOT), False)]
    assert all(Path(path).exists() for path, _ in locks)
    isolated = ["--no-build-isolation" not in each for each in installs]
    assert isolated == [True, False, False], "what is built is built by the lock, which itself holds wheels alone"


@pytest.mark.long
@pytest.mark.lftp
def test_command_and_args_are_split_into_words(ready: Runner) -> None:
    script = ready.checkout / "backup.sh"
    script.write_text(
        '#!/bin/sh\nlftp -e "set ssl:verify-certificate no; $1; bye" -u me,abcdefgh ftp://backup.example\n'
    )
    script.chmod(0o755)
    code = ready.verify(command="./backup.sh 'ls; cls'", host="backup.example", args=f"{QUICK} --fail-on 'error'")
    assert code == 1, ready.printed
    assert "no-verification" in ready.printed
    assert "backup.sh" in (ready.folder / "summary").read_text()


@pytest.mark.long
@pytest.mark.lftp
def test_each_line_of_path_is_a_setup_and_sarif_is_an_output(ready: Runner) -> None:
    ready.rc(OFF)
    (ready.checkout / "other").write_text("set ftp:ssl-force yes\n")
    assert ready.verify(path="other\n\n  \n", args=QUICK, sarif="out.sarif") == 0, ready.printed
    assert ready.outputs == {"exit-code": "0", "sarif": "out.sarif"}
    assert ready.verify(path="other\ndeploy/rc\n", args=QUICK) == 1, ready.printed
    data = json.loads((ready.checkout / "ftps-lab.sarif").read_text())
    assert [run["properties"]["safe"] for run in data["runs"]] == [True, False]


def test_unreadable_path_exits_2_and_leaves_no_report(ready: Runner) -> None:
    """The report of an earlier run is deleted."""
    (ready.checkout / "ftps-lab.sarif").write_text("{}")
    assert ready.verify(path="none") == 2
    assert "none: No such file or directory" in ready.printed
    assert ready.outputs == {"exit-code": "2"}
    assert not (ready.checkout / "ftps-lab.sarif").exists()


@pytest.mark.parametrize("name", ["path", "command", "host", "args", "sarif"])
def test_shell_does_not_evaluate_inputs(name: str, ready: Runner) -> None:
    ready.rc("# nothing\n")
    ready.verify(**{"path": "none", name: '$(touch made); touch made; "`touch made`"'})
    assert not (ready.checkout / "made").exists()
    assert ready.outputs["exit-code"] == "2", ready.printed


@pytest.mark.parametrize("there", [True, False])
def test_lftp_is_installed_only_if_missing(there: bool, runner: Runner) -> None:
    log, programs = runner.folder / "log", runner.folder / "bin"
    programs.mkdir()
    for name, text in {"sudo": f'echo "$*" >>{log}', **({"lftp": "", "openssl": ""} if there else {})}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (programs / "sh").symlink_to("/bin/sh")
    (programs / "bash").symlink_to("/bin/bash")
    assert runner.step(STEPS[0], PATH=str(programs)) == 0, runner.printed
    said = log.read_text().splitlines() if log.exists() else []
    assert said == (
        [] if there else ["apt-get update -qq", "apt-get install -y -qq --no-install-recommends lftp openssl"]
    )


def test_pre_commit_hook_calls_our_program_on_setup_files() -> None:
    """The hook calls a program from the package, and its pattern matches the files that count as setups."""
    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, command = hook["entry"].split()
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert command in COMMANDS
    assert (hook["language"], "lftp must be installed" in hook["description"]) == ("python", True)
    names = ["lftp/rc", "home/.lftp/rc", ".lftprc", "deploy/job.lftp", "rc", "src/rc", "lftp/server.crt", "lftprc"]
    assert [name for name in names if re.search(hook["files"], name)] == names[:4]
