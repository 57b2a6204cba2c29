"""Verify one subject: copy it, put the lab's certificates into it, run all trials, and report the findings."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.verify import program
from ftps_harness.verify.command import CommandVerification
from ftps_harness.verify.rc import RcVerification
from ftps_harness.verify.rc_stage import RcStage
from ftps_harness.verify.unsealed import UnsealedPlaces, admitted

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.verify.base import Options, Report
    from ftps_harness.verify.subject import Subject

_SECONDS = 15.0
"""Time limit, in seconds, for lftp to read a file."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A verification in the form that the worker pool expects."""

    verification: RcVerification | CommandVerification
    status: str = "pass"


def begin(
    subject: Subject, client: Lftp, places: SealedPlaces | UnsealedPlaces, options: Options
) -> RcVerification | CommandVerification:
    """Find the genuine server of a subject; the caller plays the trials with the returned object, and must exit it.

    Raises:
        Unavailable: No sandbox is available, and the subject must not run without one.
        HarnessError: lftp or the command cannot be started.
        UsageError: The command does not connect to any server, so there is nothing to verify.
    """
    if isinstance(places, UnsealedPlaces):
        subject = admitted(subject, places.why)
    if subject.may_be_script and _connects(subject, client, places):
        subject = program.of_script(subject, client.path, Path.cwd())
    return (CommandVerification if subject.argv else RcVerification)(subject, client, places, options)


def _connects(subject: Subject, client: Lftp, places: SealedPlaces | UnsealedPlaces) -> bool:
    """Whether lftp connects anywhere when it reads the file; if so, the file is a script."""
    with places.lend() as place, contextlib.closing(RcStage(place, client, subject, _SECONDS)) as stage:
        stage.start_only()
        return bool(stage.own_traffic())


def verify(subject: Subject, client: Lftp, places: SealedPlaces | UnsealedPlaces, options: Options) -> Report:
    """Verify one subject, one trial after the other.

    Raises:
        HarnessError: lftp or the command cannot be started.
        UsageError: The command connects nowhere.
    """
    with begin(subject, client, places, options) as verification:
        return verification.report([verification.play(trial) for trial in verification.trials])
