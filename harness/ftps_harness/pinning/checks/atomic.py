"""Kills a tool at each of its writes, and fills its disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.certificates import own, twin
from ftps_harness.pinning.rig import spec_of
from ftps_harness.sandbox.changes import Interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftps_harness.pinning.command import How
    from ftps_harness.pinning.record import Ran
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate

_RC: Final = b"# mine\nset net:timeout 77\n"

_MOST: Final = 150
"""Maximum number of file changes at which a run is interrupted, even if a tool makes more."""

_FEW: Final = 12
"""Maximum number of file changes in a quick run."""

State = tuple[tuple[str, bytes], ...]
"""The files that lftp reads: every regular file in HOME, by its path."""


def atomic(rig: Rig) -> None:
    """Pin, and replace a pin; each run is killed at a file change, or has a full disk from then on."""
    old, new = own(), own()
    empty = rig.home({".lftp/rc": _RC})
    _interrupted(rig, _Case("pin", empty, before=None, after=old))
    if rig.tool.repin:
        pinned = rig.pinned(old, {".lftp/rc": _RC})
        _interrupted(rig, _Case("repin", pinned, before=old, after=new))


class _Case:
    """One command of the tool, its initial HOME, and the pinned certificates before and after it."""

    def __init__(self, how: How, home: Home, *, before: Certificate | None, after: Certificate) -> None:
        self.how: How = how
        self.home = home
        self.before = before
        self.after = after
        self.judged: dict[State, str] = {}


def _interrupted(rig: Rig, case: _Case) -> None:
    rig.serve(case.after)
    whole = _run(rig, case, Interrupt())
    changes = whole.finished.changes
    count = changes.counted if changes is not None else 0
    rig.expect(
        whole.ok and count > 0, "exit code 0, and the tool changes a file", f"{whole.ended}, {count} file changes"
    )
    wrong = _judge(rig, case, whole, whole)
    rig.expect(not wrong, "an uninterrupted run pins the certificate", wrong)
    interrupted = 0
    points = list(rig.cases(_points(count), quick=_FEW))
    for at in points:
        for how in ("kill", "full-disk"):
            ran = _run(rig, case, Interrupt(at, how))
            call = ran.finished.changes.interrupted if ran.finished.changes is not None else None
            if call is None:
                continue  # this run wrote less
            interrupted += 1
            what = (
                f"{'killed' if how == 'kill' else 'the disk is full'} at change {at} of {count} ({call.name} "
                f"{call.path})"
            )
            rig.did(what)
            wrong = _judge(rig, case, ran, whole)
            rig.expect(not wrong, f"the old pin and rc, or the new ones: {what}", wrong)
            if how == "full-disk" and _state(ran) != _state(whole):
                rig.expect(not ran.ok, f"a non-zero exit code: {what}", ran.ended)

    rig.expect(
        interrupted >= len(points),
        "every run makes the same changes",
        f"only {interrupted} runs reached the change to interrupt",
    )


def _points(count: int) -> Iterator[int]:
    """The change numbers, the last first: the important writes come late."""
    step = max(1, -(-count // _MOST))
    yield from range(count, 0, -step)


def _run(rig: Rig, case: _Case, interrupt: Interrupt) -> Ran:
    rig.serve(case.after)  # `_asked` served other certificates
    with_copy = rig.copy(case.home)
    ran = rig.pin(with_copy, how=case.how, start=rig.place.interrupting(with_copy, interrupt))
    rig.log.done.pop()  # a line for each run would bury the rest
    with_copy.close()
    return ran


def _state(ran: Ran) -> State:
    return tuple(sorted(ran.after.files().items()))


def _judge(rig: Rig, case: _Case, ran: Ran, whole: Ran) -> str:
    """Why the state after an interrupted run is neither the old nor the new one; empty if it is one of them.

    lftp is asked only once for each state. Temporary files, whose names differ from run to run, are not part of the
    state.
    """
    if _state(ran) == tuple(sorted(ran.before.files().items())):
        return ""
    lasting = {*ran.before.files(), *whole.after.files()}
    state = tuple((path, data) for path, data in _state(ran) if path in lasting)
    if state not in case.judged:
        case.judged[state] = _asked(rig, case, ran.after.files())
        rig.serve(case.after)  # `_asked` served other certificates
    return case.judged[state]


def _asked(rig: Rig, case: _Case, files: Mapping[str, bytes]) -> str:
    if "net:timeout" not in files.get("~/.lftp/rc", b"").decode("utf-8", "replace"):
        return "the rc lost its earlier lines"
    home = rig.home({path.removeprefix("~/"): data for path, data in files.items()})
    counted = len(rig.log.done)
    accepted = [
        which
        for which, certificate in (("old", case.before), ("new", case.after))
        if certificate is not None and _accepts(rig, home, certificate)
    ]
    impostor = rig.meet(home, spec_of(twin(case.after), role="impostor"), run=("list",), called="an impostor")
    settings = rig.settings(home, "net:timeout")
    del rig.log.done[counted:]
    if impostor.exposed:
        return "lftp logs in to an impostor"
    if settings.get("net:timeout", {}).get("") != "77":
        return "lftp no longer reads the earlier lines of the rc"
    if not accepted and case.before is not None:
        return "lftp accepts neither the old certificate nor the new one"
    if not accepted and b"ca-file" in files.get("~/.lftp/rc", b""):
        return "lftp refuses every server: the rc names a pin that it cannot use"
    return ""


def _accepts(rig: Rig, home: Home, certificate: Certificate) -> bool:
    return rig.meet(home, spec_of(certificate), run=("list",), called="the server").verdict == "accepted"
