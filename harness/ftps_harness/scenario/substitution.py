"""The placeholders of a rc: `{lftp}`, `{host}`, `{port}`, `{sha1:NAME}`, `{sha256:NAME}`; other braces stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{(lftp|host|port|(?:sha1|sha256):([^{}\n]*))\}")


def placeholders(rc: str) -> tuple[str, ...]:
    """The placeholders that occur, each once, in order and without braces: ``lftp``, ``sha1:genuine``."""
    return tuple(dict.fromkeys(match[1] for match in _PLACEHOLDER.finditer(rc)))


def certificate_names(rc: str) -> tuple[str, ...]:
    """The certificates whose fingerprints the rc asks for, each once, in order."""
    return tuple(dict.fromkeys(match[2] for match in _PLACEHOLDER.finditer(rc) if match[2] is not None))


def substitute(rc: str, values: Mapping[str, str]) -> str:
    """Put values in the place of placeholders, in one pass: what was put in is not looked at again.

    Args:
        rc: The text, such as ``set ssl:ca-file "{lftp}/mycert.crt"``.
        values: One for each of `placeholders(rc)`, by the same names.

    Raises:
        KeyError: A placeholder occurs that has no value.
    """
    return _PLACEHOLDER.sub(lambda match: values[match[1]], rc)
