"""The witnesses' accounts of one attempt, as plain sections of text: the evidence of a failed step. Pure."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftps_harness.report.plain import counts_words, expectation_words, harmless, lines_of, outcome_words, whys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.runner import ScenarioResult, StepResult
    from ftps_harness.report.tally import BuildRun
    from ftps_lab.testimony import Alert, Command, Connection, Credential, Handshake, Testimony, Transfer

_LOG_LINES = 20
"""How many lines of lftp's debug log are shown; `--keep` has all of it."""

_OUTPUT_LINES = 40

_FINGERPRINT = 11
"""Characters of a fingerprint that are enough to distinguish certificates: four bytes."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the lines below it, if any."""

    heading: str
    lines: tuple[str, ...] = ()


def again(run: BuildRun, result: ScenarioResult) -> str:
    """Return the command that runs one scenario again with the same lftp."""
    name = run.again.get(result.scenario.id, result.scenario.id)
    return harmless(shlex.join(["ftps-lab", "run", name, "--lftp", str(run.lftp.path), *run.options]))


def what_failed(result: ScenarioResult) -> Iterator[str]:
    """Yield a line for each unexpected step, or for the scenario's error: where, and what happened."""
    if result.status not in {"fail", "error"}:
        return
    name = harmless(result.scenario.id)
    for number, step in enumerate(result.steps, 1):
        if step.status != "pass":
            yield f"{name}, step {number}: {harmless(step.title)}: {_happened(step)}"
    if result.why:
        yield f"{name}: {lines_of(result.why)[0]}"


def what_happened(step: StepResult) -> str:
    """A step's result in a few words; for a repeated step, how often each verdict occurred."""
    return counts_words(step.counts) if len(step.attempts) > 1 else outcome_words(step.shown.outcome)


def _happened(step: StepResult) -> str:
    """What happened instead of the expected outcome, in a few words; the reason if both look the same."""
    actual = what_happened(step)
    if step.judgement.status == "pass" and step.control is not None:
        return f"{actual}, but {step.control.kind}: {outcome_words(step.control.attempt.outcome)}"
    expected = expectation_words(step.expect)
    if actual == expected:
        return f"{actual}, but {' '.join(' '.join(whys(step)).split())}"
    return f"{actual}, expected {expected}"


def step_sections(step: StepResult) -> Iterator[Section]:
    """Why a step is not as expected, with the evidence; that of its control, if the step itself is as expected."""
    for sentence in whys(step):
        yield Section(sentence)
    yield Section(f"expected: {expectation_words(step.expect)}")
    yield Section(f"happened: {what_happened(step)}")
    if step.judgement.status != "pass" or step.control is None:
        yield from attempt_sections(step.shown)
        return
    yield Section(f"its control, {step.control.kind}: {outcome_words(step.control.attempt.outcome)}")
    yield Section("The following evidence is the control's, because the step itself is as expected.")
    yield from attempt_sections(step.control.attempt)


def attempt_sections(attempt: Attempt) -> Iterator[Section]:
    """What client, server and wire say about one run of lftp."""
    if attempt.outcome.contradictions:
        yield Section("the witnesses contradict each other", tuple(map(harmless, attempt.outcome.contradictions)))
    yield from given_to_lftp(attempt)
    yield from said_by_lftp(attempt)
    yield from witness_sections(attempt)


def given_to_lftp(attempt: Attempt) -> Iterator[Section]:
    """lftp's command line, its rc, and the other files that it may read on start-up."""
    yield Section("lftp's command", lines_of(shlex.join(attempt.run.argv)))
    yield Section("rc", lines_of(attempt.rc) or ("(nothing)",))
    for name, content in attempt.start_up.items():
        yield Section(f"{name}, which lftp also reads", lines_of(content) or ("(nothing)",))


def said_by_lftp(attempt: Attempt, *, log: bool = True) -> Iterator[Section]:
    """How lftp ended, and everything that it printed; its debug log only with `log`."""
    run = attempt.run
    yield Section(f"lftp ended {_ending(attempt)} after {run.seconds:.2f} s")
    yield Section("stdout", _last(lines_of(run.stdout), _OUTPUT_LINES) or ("(empty)",))
    yield Section("stderr", _last(lines_of(run.stderr), _OUTPUT_LINES) or ("(empty)",))
    if attempt.client.log_notes:
        yield Section("complaints that are only in lftp's debug log", tuple(map(harmless, attempt.client.log_notes)))
    if log:
        lines = _last(lines_of(run.log), _LOG_LINES) or ("(none)",)
        yield Section(f"lftp's debug log, the last {_LOG_LINES} lines", lines)


def witness_sections(attempt: Attempt) -> Iterator[Section]:
    """What server and wire saw."""
    yield server_section(attempt.testimony)
    if attempt.testimony.behind is not None:
        yield server_section(attempt.testimony.behind, "the account of the genuine server behind the attacker")
    yield _wire(attempt)


def _ending(attempt: Attempt) -> str:
    run = attempt.run
    if run.timed_out:
        return "at its time limit, killed"
    return f"by signal {run.signal}" if run.signal is not None else f"with exit code {run.exit_code}"


def _last(lines: tuple[str, ...], count: int) -> tuple[str, ...]:
    left_out = len(lines) - count
    return lines if left_out <= 0 else (f"({left_out} lines before)", *lines[-count:])


def data_of(testimony: Testimony) -> dict[str, Any]:
    """The testimony for JSON, with the attacker's copy of a transfer as text."""
    data = dataclasses.asdict(testimony)
    for transfer in data["transfers"]:
        transfer["captured"] = transfer["captured"].decode("utf-8", "backslashreplace")
    if testimony.behind is not None:
        data["behind"] = data_of(testimony.behind)
    return data


def server_section(testimony: Testimony, title: str = "the server's account") -> Section:
    """Connection by connection: what the server saw on each."""
    lines = [line for connection in testimony.connections for line in _connection(connection, testimony)]
    sources = "" if testimony.sources == ("server",) else f"; from {', '.join(testimony.sources)}"
    return Section(f"{title} (role: {testimony.role}{sources})", tuple(lines) or ("(nobody connected)",))


def _connection(connection: Connection, testimony: Testimony) -> Iterator[str]:
    number = connection.number
    greeted = ", 220 sent" if connection.greeted else ""
    error = f", {harmless(connection.error)}" if connection.error else ""
    attack = f", attack {connection.attack}" if connection.attack != "none" else ""
    effect = f", the attacker did: {connection.attack_effect}" if connection.attack_effect else ""
    yield f"{connection.kind} connection {number}, from port {connection.peer[1]}{greeted}{attack}{effect}{error}"
    events = (
        *((each.connection, _handshake(each)) for each in testimony.handshakes),
        *((each.connection, _alert(each)) for each in testimony.alerts),
        *((each.connection, _command(each)) for each in testimony.commands),
        *((each.connection, _credential(each)) for each in testimony.credentials),
        *((each.connection, _transfer(each)) for each in testimony.transfers),
    )
    yield from (f"    {line}" for where, line in events if where == number)


def _handshake(handshake: Handshake) -> str:
    name = harmless(handshake.server_name or "no name")
    shown = f"for {name}, the server showed the certificate {handshake.certificate[:_FINGERPRINT]}…"
    if not handshake.certificate:
        return f"TLS handshake failed before a certificate was shown: {harmless(handshake.error)}"
    if not handshake.completed:
        return f"TLS handshake failed {shown}: {harmless(handshake.error)}"
    return f"{handshake.version} {shown}"


def _alert(alert: Alert) -> str:
    return f"TLS alert {alert.direction}: {alert.level} {alert.description}"


def _credential(credential: Credential) -> str:
    answer = "accepted" if credential.accepted else "refused"
    password = "password unknown" if credential.password is None else harmless(credential.password)
    return f"{credential.channel:5}  login {answer}: {harmless(credential.user)}, {password}"


def _command(command: Command) -> str:
    said = f"{command.verb} {command.argument}".rstrip()
    reply = "no reply" if command.reply is None else str(command.reply)
    return f"{command.channel:5}  {reply}  {harmless(said)}"


def _transfer(transfer: Transfer) -> str:
    end = "complete" if transfer.completed else "cut short"
    name = f"{transfer.verb} {harmless(transfer.name)}".rstrip()
    held = f", {len(transfer.captured)} of them kept by the attacker" if transfer.captured else ""
    origin = ", forged by the attacker" if transfer.forged else ""
    return f"{transfer.channel:5}  {transfer.direction} {name}: {transfer.size} bytes{held}{origin}, {end}"


def _wire(attempt: Attempt) -> Section:
    exposure = attempt.exposure
    readable = [
        f"password readable: {'yes' if exposure.password else 'no'}",
        f"payload readable:  {'yes' if exposure.payload else 'no'}",
    ]
    connections = [
        f"{record.kind}, port {record.peer[1]}: "
        f"{len(record.to_server)} bytes to the server, {len(record.to_client)} to the client"
        for record in attempt.wire.records
    ]
    other = attempt.exposure.elsewhere
    strangers = [f"talked to another host: {phrase}" for phrase in other.reached]
    strangers += [f"tried to reach, without an answer: {phrase}" for phrase in other.tried]
    return Section("the wire's account", (*readable, *connections, *strangers))
