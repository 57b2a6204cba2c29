"""Several threads that convert at once: msgspec alone would crash the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIRST_USE_IN_EIGHT_THREADS = """
import sys, threading

import msgspec

from ftps_lab.conversion import convert, decode
from ftps_lab.testimony import Testimony

sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
refused = []


def first_use(number):
    together.wait()
    try:
        {what}
    except msgspec.ValidationError as error:
        refused.append(str(error))


threads = [threading.Thread(target=first_use, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(refused) == 8, refused
assert len(set(refused)) == 1, refused
"""


DATA = """{"transfers": [], "connections": [{}]}"""
"""A connection without its fields does not fit, which msgspec finds only deep in a half-built description."""


@pytest.mark.parametrize("what", [f"decode(b'{DATA}', Testimony)", f"convert({DATA}, Testimony)"])
def test_first_use_of_a_type_in_several_threads_does_not_crash(what: str) -> None:
    """Without the lock, a third of these processes crash."""
    script = FIRST_USE_IN_EIGHT_THREADS.replace("{what}", what)
    for _ in range(10):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
