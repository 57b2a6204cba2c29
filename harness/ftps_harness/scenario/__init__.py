"""The scenario file, version 1: TOML → frozen data; strict, pure, every problem with file, key and fix.

    from ftps_harness.scenario import catalogue, expectation, load

`ftps_harness.scenario.schema` makes the JSON Schema; docs/reference.md, "The scenario file", describes the format.
"""

from ftps_harness.scenario.discovery import catalogue
from ftps_harness.scenario.expectations import expectation
from ftps_harness.scenario.model import Expect, Outline, Scenario, Server, Source, Step
from ftps_harness.scenario.parsing import id_of, load, outline, parse
from ftps_harness.scenario.patterns import relative_seconds
from ftps_harness.scenario.problems import ScenarioError
from ftps_harness.scenario.substitution import placeholders, substitute
from ftps_harness.scenario.tables import (
    ExpectedVerdict,
    Reason,
    Receiver,
    Secret,
    Verdict,
)
from ftps_harness.words import Dialect

__all__ = [
    "Dialect",
    "Expect",
    "ExpectedVerdict",
    "Outline",
    "Reason",
    "Receiver",
    "Scenario",
    "ScenarioError",
    "Secret",
    "Server",
    "Source",
    "Step",
    "Verdict",
    "catalogue",
    "expectation",
    "id_of",
    "load",
    "outline",
    "parse",
    "placeholders",
    "relative_seconds",
    "substitute",
]
