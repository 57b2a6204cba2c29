"""What the tests of the harness share: the lftp of this machine, identified once."""

from __future__ import annotations

import pytest

from ftps_harness.lftp import Lftp, find, identify


@pytest.fixture(scope="session")
def client(pytestconfig: pytest.Config) -> Lftp:
    """The lftp to test with: ``--lftp``, FTPS_LAB_LFTP, or the one on PATH."""
    return identify(find(pytestconfig.getoption("--lftp")))
