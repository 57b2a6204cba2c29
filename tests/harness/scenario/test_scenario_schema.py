"""The JSON Schema matches the code's types and behaviour."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from ftps_harness.scenario import schema, tables
from ftps_lab.attackers import ATTACKS

COMMITTED = Path(__file__).parents[3] / "scenarios" / "scenario.schema.json"

KEYS = {
    "": "schema title why tags claim certificates server step",
    "CertificateTable": "issuer common_name names not_before not_after key same_key_as signature ca path_length "
    "key_usage usage key_ids",
    "ServerTable": "protocol certificate chain data_certificate role attack attack_certificate attack_reply attack_how "
    "require_tls tls user password revoked",
    "StepTable": "title server host scheme user password files cwd rc rc_file run clock locale repeat at_least control "
    "why_no_control expect",
    "StepExpectTable": "verdict reason message exposed to tls cipher server_name how_often otherwise "
    "classic status openssl",
    "ExpectTable": "verdict reason message exposed to tls cipher server_name how_often otherwise",
}
"""The keys of version 1, listed here once more because programs and files rely on them."""


@pytest.fixture(scope="module")
def generated() -> dict[str, Any]:
    return schema.json_schema()


def test_committed_schema_equals_the_generated_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == schema.text()


@pytest.mark.parametrize("name", KEYS)
def test_schema_describes_exactly_the_keys_of_the_format(generated: dict[str, Any], name: str) -> None:
    """A reference needs no description: its target has one."""
    table = generated["$defs"][name] if name else generated
    assert list(table["properties"]) == KEYS[name].split()
    assert table["additionalProperties"] is False
    assert all("description" in entry or "$ref" in entry for entry in table["properties"].values())


def test_allowed_values_equal_those_of_the_types(generated: dict[str, Any]) -> None:
    expect = generated["$defs"]["ExpectTable"]["properties"]
    assert set(expect["verdict"]["enum"]) == set(get_args(tables.Verdict)) - {"inconclusive"}
    assert set(expect["reason"]["anyOf"][0]["enum"]) == set(get_args(tables.Reason))
    assert set(generated["$defs"]["ServerTable"]["properties"]["attack"]["enum"]) == {"none", *ATTACKS}
    assert generated["properties"]["schema"]["enum"] == [1]


def test_schema_lists_required_keys(generated: dict[str, Any]) -> None:
    """An override needs no verdict, but the table itself does."""
    assert generated["required"] == ["schema", "title", "why", "server", "step"]
    assert generated["$defs"]["StepTable"]["required"] == ["title", "expect"]
    assert generated["$defs"]["StepExpectTable"]["required"] == ["verdict"]
    assert generated["$defs"]["ExpectTable"]["required"] == []


def test_schema_allows_no_null(generated: dict[str, Any]) -> None:
    """TOML has none: None in the code is an absent key in the file."""
    assert "null" not in json.dumps(generated)


def test_every_verdict_but_inconclusive_can_be_expected() -> None:
    assert set(get_args(tables.Verdict)) - set(get_args(tables.ExpectedVerdict)) == {"inconclusive"}


def test_schema_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for written or equal, 1 for different, 2 for wrong usage; one sentence each."""
    file = tmp_path / "schema.json"
    assert schema.main(["--check", str(file)]) == 2
    assert "No such file" in capsys.readouterr().err
    assert schema.main([str(file)]) == 0
    assert schema.main(["--check", str(file)]) == 0
    file.write_text("{}", encoding="utf-8")
    assert schema.main(["--check", str(file)]) == 1
    assert "is out of date" in capsys.readouterr().err
    assert schema.main([]) == 2
    assert schema.main(["--chek", str(file)]) == 2


def test_schema_module_runs_without_a_warning() -> None:
    """`make check` calls it this way."""
    command = [sys.executable, "-W", "error", "-m", "ftps_harness.scenario.schema", "--check", str(COMMITTED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_format_loads_no_large_library() -> None:
    """`ftps-lab list` must be fast, and so must an idle pytest plugin."""
    code = "import sys, ftps_harness.scenario; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"cryptography", "OpenSSL", "pyftpdlib", "rich", "click", "pytest", "difflib", "dataclasses", "json"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
    of_the_lab = {
        "ftps_lab",
        *("ftps_lab.attackers", "ftps_lab.attackers.records"),
        *("ftps_lab.certificates", "ftps_lab.certificates.spec"),
        "ftps_lab.conversion",
    }
    assert {name for name in loaded if name.partition(".")[0] == "ftps_lab"} == of_the_lab
