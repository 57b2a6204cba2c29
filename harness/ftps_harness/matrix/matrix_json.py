"""``ftps-lab matrix --json``, version 1: the report for programs. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ftps_harness.matrix.answers import answers
from ftps_harness.matrix.differences import differences
from ftps_harness.report import json_report
from ftps_harness.report.tally import added

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.matrix.baseline import Drift
    from ftps_harness.matrix.play import MatrixRun, PairResult

Json = dict[str, Any]

SCHEMA = 1


def text(run: MatrixRun, drifts: Sequence[Drift]) -> str:
    """The whole file: a cell for each scenario on each pair, in the format of ``run --json``, and the differences."""
    extra: Json = {"interrupted": True} if run.interrupted else {}
    data = {
        "schema": SCHEMA,
        "builds": {pair.build: json_report.build(pair.lftp) for pair in run.pairs if pair.lftp is not None},
        "servers": list(dict.fromkeys(pair.kind for pair in run.pairs)),
        "left_out": dict(run.left_out),
        "cells": [cell for pair in run.pairs for cell in _cells(pair)],
        "differences": differences_json(run),
        "drift": [_drift(each) for each in drifts],
        "summary": added(pair.counts for pair in run.pairs),
        "seconds": round(run.seconds, 3),
        **extra,
    }
    return json.dumps(data, indent=2) + "\n"


def differences_json(run: MatrixRun) -> list[Json]:
    """The questions with different answers; `of` is ``words`` if only lftp's wording differs."""
    return [
        {
            "id": each.question.scenario,
            "step": each.question.step,
            "of": "verdict" if each.of_verdict else "words",
            "answers": {group.text: [list(cell) for cell in group.cells] for group in each.groups},
        }
        for each in differences(run.pairs)
    ]


def _cells(pair: PairResult) -> list[Json]:
    return [
        {
            "build": pair.build,
            "server": pair.kind,
            **json_report.result(result),
            "answers": {step.title: list(answers(step)) for step in result.steps},
        }
        for result in pair.results
    ]


def _drift(drift: Drift) -> Json:
    return {
        "build": drift.build,
        "server": drift.kind,
        "id": drift.scenario,
        "step": drift.step,
        "direction": drift.direction,
        "was": list(drift.was),
        "now": list(drift.now),
        "why": drift.why,
    }
