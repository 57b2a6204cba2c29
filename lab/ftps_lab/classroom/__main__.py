"""The command of the classroom's containers: of a host, and of the teacher."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

from ftps_lab.classroom import events, folders, window
from ftps_lab.classroom.check import check, fingerprint, shown_certificate
from ftps_lab.classroom.hosts import HOSTS, PORT
from ftps_lab.classroom.learners import GUEST, VARIABLE, Learner, roster, slips, wait_for_roster
from ftps_lab.errors import LabError

HANDED_OUT = Path("/handout")
"""The files that the teacher gives to every student: a volume that the students' containers see too (compose.yaml)."""

STAFF = Path("/staff")
"""The volume that only the hosts, the checker and the teacher see (compose.yaml)."""

ROOT = Path("/served")
"""The host's files: in memory, in a folder owned by the user that a daemon's sessions run as (compose.yaml)."""

_ROTATED_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Return 0, or 1 if a check failed or the host cannot do its work; the message goes to stderr."""
    given = _parser().parse_args(arguments)
    try:
        _obey(given)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ftps_lab.classroom", description=__doc__)
    orders = parser.add_subparsers(dest="order", required=True)
    for name, about in (
        ("serve", "serve as this host"),
        ("check", "check that the host shows its certificate"),
        ("rotate", "switch to another certificate"),
    ):
        orders.add_parser(name, help=about).add_argument("host", nargs="?", help="default: this machine's")
    shown = orders.add_parser("window", help="show what each learner does, live")
    shown.add_argument("learner", nargs="?", help="show only this learner, with everything they did")
    shown.add_argument("--once", action="store_true", help="print everything so far, learner by learner, then exit")
    orders.add_parser("learners", help="print names and passwords, to hand out")
    reset = orders.add_parser("reset", help="restore the learners' folders on every host")
    reset.add_argument("learner", nargs="*", help="default: all learners")
    return parser


def _obey(given: argparse.Namespace) -> None:
    if given.order in {"serve", "check", "rotate"}:
        _be_a_host(given.order, given.host or socket.gethostname())
    elif given.order == "learners":
        print("\n".join(slips(wait_for_roster(STAFF))))
    elif given.order == "reset":
        _reset(given.learner)
    else:
        _show(given.learner, once=given.once)


def _be_a_host(order: str, name: str) -> None:
    if name not in HOSTS:
        raise LabError(f"{name!r} is not a host of the classroom: name one of {', '.join(HOSTS)}")
    host = HOSTS[name]
    if order == "serve":
        from ftps_lab.classroom.serve import Folders, serve  # loads OpenSSL, which health checks do not need

        where = Folders(root=ROOT, handed_out=HANDED_OUT, staff=STAFF)
        serve(host, _say, where, (*roster(STAFF, os.environ.get(VARIABLE, "")), GUEST))
    elif order == "check":
        check(host, host.address, PORT, HANDED_OUT)
    else:
        _rotate(host.address)


def _reset(wanted: list[str]) -> None:
    """Have every host restore the folders of these learners, or of all; other learners keep theirs."""
    known = [learner.name for learner in _class()]
    if strangers := [name for name in wanted if name not in known]:
        raise LabError(f"no learner has the name {', '.join(strangers)}: `learners` lists the names")
    number = folders.order_reset(STAFF, wanted or known)
    folders.wait_until_done(STAFF, HOSTS, number)
    print(f"restored on every host: the folders of {', '.join(wanted) or 'all learners'}")


def _show(learner: str | None, *, once: bool) -> None:
    names = [each.name for each in wait_for_roster(STAFF)]
    if learner is not None and learner not in {*names, GUEST.name}:
        raise LabError(f"no learner has the name {learner}: `learners` lists the names")
    found = events.read(STAFF)
    if learner is not None:
        print("\n".join(window.story(found, learner) or [f"{learner} has done nothing yet"]))
    elif once or not sys.stdout.isatty():
        print("\n".join(window.grouped(found) if once else window.table(found, names)))
    else:
        window.watch(STAFF, names, height=shutil.get_terminal_size().lines)


def _class() -> tuple[Learner, ...]:
    return (*wait_for_roster(STAFF), GUEST)


def _say(line: str) -> None:
    print(line, flush=True)


def _rotate(address: str) -> None:
    """Signal the host's first process, then wait until the host shows another certificate."""
    before = shown_certificate(address, PORT)
    os.kill(1, signal.SIGHUP)
    deadline = time.monotonic() + _ROTATED_SECONDS
    while (now := shown_certificate(address, PORT)) == before:
        if time.monotonic() > deadline:
            raise LabError(f"{address} still shows its old certificate, {fingerprint(before)}; see docker compose logs")
        time.sleep(0.05)
    print(f"{address} now shows another certificate (SHA-1, as lftp prints it):")
    print(f"before {fingerprint(before)}\nnow    {fingerprint(now)}")


if __name__ == "__main__":
    sys.exit(main())
