"""The first witness: what lftp showed in one run, to compare with the other witnesses."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ftps_harness.client import messages
from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.literals import Literal
from ftps_harness.play.actions.scripts import expanded
from ftps_harness.play.actions.tasks import holds_payload
from ftps_harness.play.actions.transferred import doubts
from ftps_harness.verdict.observations import ClientAccount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.client.lftp import Run
    from ftps_harness.client.messages import Word
    from ftps_harness.play.actions.evidence import ClientAction, Evidence
    from ftps_harness.play.actions.local_files import Local
    from ftps_harness.sandbox.secrets import Secrets

_MODULE = re.compile(r"\bmodule\s")


def client_account(
    run: Run,
    todo: Sequence[ClientAction],
    evidence: Evidence,
    said: bytes,
    *,
    dialect: str,
    secrets: Secrets,
    local: Local,
    log: bool,
) -> ClientAccount:
    """Return what lftp said and did, and which tasks are proved.

    Args:
        run: The finished lftp.
        todo: The requested actions.
        evidence: What is examined after the run.
        said: Standard error from where the requested commands begin.
        dialect: lftp's dialect.
        secrets: The run's secrets.
        local: The files on lftp's side, before and after.
        log: Whether the debug log was requested.
    """
    words = messages.words(run.stderr, run.log, dialect)
    complaints = _complaints(todo, said)
    failed = bool(words) or any(complaint.kind != "unknown" for complaint in complaints)
    evidence = replace(evidence, complaint=failed)
    # lftp logs each connection attempt: a log may be empty only if a command failed before the first one.
    idle = any(word.kind == "local" for word in (*words, *complaints)) and not evidence.testimony.connections
    tasks = tuple(action.proof(evidence) for action in todo)
    literals = [action for action in todo if isinstance(action, Literal)]
    typed = (command for literal in literals for command in literal.commands)
    done = bool(literals) and all(task.done for task in tasks)
    return ClientAccount(
        exit_code=run.exit_code,
        signal=run.signal,
        timed_out=run.timed_out,
        words=words,
        notes=messages.notes(run.stderr),
        tasks=tasks,
        unproved=tuple(doubts(list(expanded(typed, evidence)), evidence, local)) if done else (),
        log_missing=log and not run.log and not idle,
        log_notes=messages.log_notes(run.log, run.stderr),
        sent=messages.sent(run.log),
        holds_payload=holds_payload(evidence, secrets),
        complaints=complaints,
        connects=messages.connects(run.log),
        cut=(*run.cut, *_loaded(evidence)),
        may_hide=evidence.may_hide,
        tried=not log or messages.tried(run.log),
        named=messages.named_certificates(run.log),
    )


def _loaded(evidence: Evidence) -> Iterator[str]:
    """The setup's own code inside lftp, which can write lftp's log and hide anything."""
    if any(map(_loads_a_module, evidence.scripts)):
        yield "a command makes lftp load a module, so lftp's output may be the module's"


@functools.lru_cache(maxsize=256)  # lftp's input is the same in every run of a step
def _loads_a_module(text: str) -> bool:
    commands = (command for command in syntax.commands(text) if not command.shell)
    return any(
        _MODULE.search(each.text) or ["module"] in [read[:1] for read in syntax.simple(each)] for each in commands
    )


def _complaints(todo: Sequence[ClientAction], said: bytes) -> tuple[Word, ...]:
    """lftp's messages about literal commands that failed; the other actions have better proof.

    If the commands run programs, a message that is in no table may come from those programs.
    """
    literals = [action for action in todo if isinstance(action, Literal)]
    if not literals:
        return ()
    programs = any(literal.runs_programs for literal in literals)
    return tuple(word for word in messages.complaints(said) if word.kind != "unknown" or not programs)
