"""Data → values of our types, by msgspec, safe in several threads.

The first time that msgspec meets a type, it builds a description of it, and another thread can use that description
while it is half built: the process crashes (SIGSEGV) without a word. Measured with msgspec 0.22.0: eight threads that
create a decoder for `Testimony` at once crashed 11 of 30 processes, on Python 3.11.7 and on 3.13.0, with a switch
interval of 1 µs; with the usual 5 ms, one of 7 runs of the catalogue on a busy machine (3.13.0). So only this module
lets msgspec build descriptions, one at a time.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Converted = TypeVar("Converted")

_BUILDING = threading.Lock()


def convert(data: object, kind: type[Converted]) -> Converted:
    """Convert data, such as a TOML table, to a type.

    Raises:
        msgspec.ValidationError: The data does not fit.
    """
    with _BUILDING:
        return msgspec.convert(data, kind)  # noqa: TID251 - under the lock


def decode(text: bytes | msgspec.Raw, kind: type[Converted]) -> Converted:
    """Convert JSON to a type.

    Raises:
        msgspec.DecodeError: The text is not JSON, or does not fit.
        UnicodeDecodeError: A string in it is not UTF-8.
    """
    with _BUILDING:
        converted: Callable[[bytes | msgspec.Raw], Converted] = _decode(cast("Hashable", kind))
    return converted(text)


@cache
def _decode(kind: Hashable) -> Callable[[bytes | msgspec.Raw], Any]:
    return msgspec.json.Decoder(kind).decode  # noqa: TID251 - `decode` holds the lock
