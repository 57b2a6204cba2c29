"""The JSON Schema of the scenario file, generated from `tables`.

python -m ftps_harness.scenario.schema [--check] FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from ftps_harness.scenario.expectations import VERSION_PREFIX
from ftps_harness.scenario.tables import DIALECTS, ExpectTable, ScenarioTable

_NULL = {"type": "null"}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a scenario file: keys, types, allowed values, descriptions.

    Only `parsing` finds problems that involve more than one value, such as an unknown name.
    """
    (_, expect), components = msgspec.json.schema_components(
        [ScenarioTable, ExpectTable], ref_template="#/$defs/{name}"
    )
    # The lab's type has the lab's name; in this schema it is one of the file's tables.
    components = json.loads(json.dumps(components).replace("CertificateSpec", "CertificateTable"))
    definitions = {name: _without_null(definition) for name, definition in sorted(components.items())}
    scenario = definitions.pop("ScenarioTable")
    definitions["StepTable"]["properties"]["expect"] = {"$ref": "#/$defs/StepExpectTable"}
    definitions["StepExpectTable"] = _with_overrides(definitions["ExpectTable"], expect)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Generated from harness/ftps_harness/scenario/tables.py by python -m ftps_harness.scenario.schema",
        **scenario,
        "title": "ftps-lab scenario file, version 1",
        "$defs": definitions,
    }


def text() -> str:
    """The text of `scenarios/scenario.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema to a file, or check that the file is up to date.

    Returns:
        The exit code: 0 done or equal, 1 different, 2 wrong usage.
    """
    checking = "--check" in arguments
    names = [argument for argument in arguments if argument != "--check"]
    if len(names) != 1 or names[0].startswith("-"):
        print("usage: python -m ftps_harness.scenario.schema [--check] FILE", file=sys.stderr)
        return 2
    file = Path(names[0])
    try:
        if not checking:
            file.write_text(text(), encoding="utf-8")
        elif file.read_text(encoding="utf-8") != text():
            print(
                f"{file} is out of date; run `python -m ftps_harness.scenario.schema {file}`",
                file=sys.stderr,
            )
            return 1
    except OSError as error:
        print(f"{file}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _with_overrides(own: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    return {
        **own,
        "title": "StepExpectTable",
        "description": "The expected result of the step, with overrides for dialects and version prefixes of lftp",
        "properties": {**own["properties"], **dict.fromkeys(DIALECTS, override)},
        "patternProperties": {VERSION_PREFIX.pattern: override},
        "required": ["verdict"],
    }


def _without_null(schema: Any) -> Any:
    """The schema without null, which TOML does not have: in `tables` null stands for "not given"."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema if item != _NULL]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_null(value) for name, value in schema.items() if (name, value) != ("default", None)}
    if "enum" in plain:
        plain["enum"] = [value for value in plain["enum"] if value is not None]
    options = plain.get("anyOf", [])
    return {**{k: v for k, v in plain.items() if k != "anyOf"}, **options[0]} if len(options) == 1 else plain


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
