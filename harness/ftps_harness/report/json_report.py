"""`--json`, version 1 (docs/reference.md, "Of run"): the report for programs. Pure; the caller writes it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from ftps_harness.report.account import data_of
from ftps_harness.report.plain import whys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.runner import ControlResult, ScenarioResult, StepResult
    from ftps_harness.report.tally import BuildRun
    from ftps_harness.scenario import Expect

Json = dict[str, Any]

SCHEMA = 1
"""The version of this format."""


def text(runs: Sequence[BuildRun], *, several: bool) -> str:
    """The whole file.

    Args:
        runs: One for each lftp build.
        several: Several builds were requested: ``{"schema": 1, "runs": […]}``, even if the first was interrupted.
    """
    data = {"schema": SCHEMA, "runs": [_run(run) for run in runs]} if several else _run(runs[0])
    return json.dumps(data, indent=2) + "\n"


def _run(run: BuildRun) -> Json:
    extra: Json = {"interrupted": True} if run.interrupted else {}
    return {
        "schema": SCHEMA,
        "place": run.place,
        "lftp": build(run.lftp),
        "results": [result(each) for each in run.results],
        "summary": run.counts,
        **extra,
    }


def build(lftp: Lftp) -> Json:
    """One lftp build."""
    return {"path": str(lftp.path), "version": lftp.version, "tls": lftp.tls, "dialect": lftp.dialect}


def result(done: ScenarioResult) -> Json:
    """One scenario."""
    extra: Json = {"why": done.why} if done.status == "error" and done.why else {}
    return {
        "id": done.scenario.id,
        "status": done.status,
        "why_skipped": done.why if done.status == "skip" else None,
        "seconds": _seconds(done.seconds),
        "steps": [
            _step(step, meant.why_no_control) for meant, step in zip(done.scenario.steps, done.steps, strict=False)
        ],
        **extra,
    }


def _step(step: StepResult, why_no_control: str | None) -> Json:
    shown = step.shown
    outcome = shown.outcome
    counts: Json = {"counts": step.counts} if len(step.attempts) > 1 else {}
    sentences = whys(step)
    extra: Json = {"why": list(sentences)} if sentences else {}
    if why_no_control:
        extra["why_no_control"] = why_no_control
    return {
        "title": step.title,
        "status": step.status,
        "expected": _expected(step.expect),
        "actual": {
            "verdict": outcome.verdict,
            "reasons": sorted(outcome.reasons),
            "exposed": sorted(outcome.exposed),
            "to": sorted(outcome.to),
            "message": outcome.message,
        },
        **counts,
        "control": _control(step.control),
        "witnesses": {"client": client(shown), "server": data_of(shown.testimony), "wire": _wire(shown)},
        "seconds": _seconds(step.seconds),
        **extra,
    }


def _expected(expect: Expect) -> Json:
    return {
        "verdict": expect.verdict,
        "reasons": _sorted(expect.reasons),
        "exposed": _sorted(expect.exposed),
        "to": _sorted(expect.to),
        "tls": _sorted(expect.tls),
        "cipher": _sorted(expect.cipher),
        "server_name": _sorted(expect.server_name),
    }


def _control(control: ControlResult | None) -> Json | None:
    if control is None:
        return None
    outcome = control.attempt.outcome
    return {"kind": control.kind, "verdict": outcome.verdict, "reasons": sorted(outcome.reasons)}


def client(attempt: Attempt) -> Json:
    """lftp's output; bytes that are not UTF-8 are escaped."""
    run, account = attempt.run, attempt.client
    return {
        "command": list(run.argv),
        "rc": attempt.rc,
        "start_up": {name: _text(content) for name, content in attempt.start_up.items()},
        "exit_code": run.exit_code,
        "signal": run.signal,
        "timed_out": run.timed_out,
        "stdout": _text(run.stdout),
        "stderr": _text(run.stderr),
        "words": [{**dataclasses.asdict(word), "reasons": sorted(word.reasons)} for word in account.words],
        "notes": [*account.notes, *account.log_notes],
    }


def _wire(attempt: Attempt) -> Json:
    return {
        "password_readable": attempt.exposure.password,
        "payload_readable": attempt.exposure.payload,
        "connections": [
            {
                "kind": record.kind,
                "peer": list(record.peer),
                "to_server": len(record.to_server),
                "to_client": len(record.to_client),
            }
            for record in attempt.wire.records
        ],
        "reached": list(attempt.exposure.elsewhere.reached),
        "tried": list(attempt.exposure.elsewhere.tried),
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _sorted(values: Iterable[str] | None) -> list[str] | None:
    return None if values is None else sorted(values)


def _seconds(seconds: float) -> float:
    return round(seconds, 3)
