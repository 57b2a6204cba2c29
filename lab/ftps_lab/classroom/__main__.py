"""The command of the classroom's containers: serve, check, rotate."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path

from ftps_lab.classroom.check import check, fingerprint, shown_certificate
from ftps_lab.classroom.hosts import HOSTS, PORT
from ftps_lab.errors import LabError

HANDED_OUT = Path("/handout")
"""What the teacher hands to every student: a volume that their containers see too (compose.yaml)."""

ROOT = Path("/served")
"""Where the host's files are: in memory, and the folder of whoever a daemon's sessions run as (compose.yaml)."""

_ROTATED_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 where a check failed or the host cannot do its work; the sentence about it goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m ftps_lab.classroom", description=__doc__)
    parser.add_argument("order", choices=["serve", "check", "rotate"])
    parser.add_argument("host", nargs="?", choices=sorted(HOSTS), help="default: this one")
    given = parser.parse_args(arguments)
    name = given.host or socket.gethostname()
    if name not in HOSTS:
        parser.error(f"this machine, {name}, is no host of the classroom: name one of {', '.join(HOSTS)}")
    host = HOSTS[name]
    try:
        if given.order == "serve":
            from ftps_lab.classroom.serve import serve  # OpenSSL and all: a health check needs none of it

            serve(host, _say, root=ROOT, handed_out=HANDED_OUT)
        elif given.order == "check":
            check(host, host.address, PORT, HANDED_OUT)
        else:
            _rotate(host.address)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _rotate(address: str) -> None:
    """Tell the host's first process, and believe it when the host shows something else."""
    before = shown_certificate(address, PORT)
    os.kill(1, signal.SIGHUP)
    deadline = time.monotonic() + _ROTATED_SECONDS
    while (now := shown_certificate(address, PORT)) == before:
        if time.monotonic() > deadline:
            raise LabError(f"{address} still shows the certificate that it had, {fingerprint(before)}")
        time.sleep(0.05)
    print(f"{address} shows another certificate from now on (SHA-1, as lftp prints it):")
    print(f"before {fingerprint(before)}\nnow    {fingerprint(now)}")


if __name__ == "__main__":
    sys.exit(main())
