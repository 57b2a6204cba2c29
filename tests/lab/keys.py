"""Every kind of key, as parameters of a test."""

from __future__ import annotations

import pytest

from ftps_lab.certificates import KEYS

EVERY_KEY = [
    pytest.param(key, marks=pytest.mark.long if key == "rsa-4096" else ())  # a second for each new key
    for key in KEYS
]
