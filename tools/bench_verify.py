"""How long `ftps-lab verify` takes in total for an rc with a pin."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench_figure import Figure
from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.sandbox import why_none
from ftps_harness.verify.pins import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp

_RC = 'set ssl:ca-file "~/.lftp/server.crt"\nset ftp:ssl-force yes\nset ftp:ssl-allow-anonymous yes\n'

_LIMIT = 3.0
"""Seconds on two cores."""


def verify(client: Lftp, rounds: int) -> Iterator[Figure]:
    """Time the whole command, its start included; no figure if the kernel does not permit a sandbox."""
    if why_none():
        return  # the sandbox's own figures report it
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, ".lftp")
        folder.mkdir(mode=0o700)
        (folder / "server.crt").write_bytes(self_signed("backup.example").pem)
        (folder / "rc").write_text(_RC)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "ftps_harness", "verify", "-j", "2", "--lftp", str(client.path)],
                env={**os.environ, "HOME": home},
                cwd=home,
                capture_output=True,
                check=False,
                text=True,
            )
            times.append(time.perf_counter() - began)
            if done.returncode != 0:
                raise HarnessError(f"verify ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-300:]}")
    yield Figure("verify -j 2 of an rc with a pin", statistics.median(times), "s", _LIMIT)
