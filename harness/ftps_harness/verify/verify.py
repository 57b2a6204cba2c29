"""Verify one subject: copy it, put the lab's certificates into it, try everything, and say what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.verify.command import CommandVerification
from ftps_harness.verify.rc import RcVerification

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.verify.base import Options, Report
    from ftps_harness.verify.subject import Subject


def begin(
    subject: Subject, client: Lftp, places: SealedPlaces, options: Options
) -> RcVerification | CommandVerification:
    """Find the genuine server of a subject; what is returned plays the trials, and is ended by whoever has it.

    Raises:
        HarnessError: lftp or the command cannot be started.
        UsageError: The command goes nowhere, so there is nothing to verify.
    """
    kind = CommandVerification if subject.argv else RcVerification
    return kind(subject, client, places, options)


def verify(subject: Subject, client: Lftp, places: SealedPlaces, options: Options) -> Report:
    """Verify one subject, one trial after the other.

    Raises:
        HarnessError: lftp or the command cannot be started.
        UsageError: The command goes nowhere.
    """
    with begin(subject, client, places, options) as verification:
        return verification.report([verification.play(trial) for trial in verification.trials])
