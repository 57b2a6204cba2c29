"""One line of the output of `make bench`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        what: What was measured, or compared.
        value: The value, in `unit`.
        unit: ``s``, ``ms``, ``MiB``, ``x`` for a ratio; empty for a count.
        limit: The project's own limit, in `unit`; None if the figure is only for information.
    """

    what: str
    value: float
    unit: str
    limit: float | None = None

    def __str__(self) -> str:
        if self.limit is None:
            return f"{self.what:<86} {self.value:9.3f} {self.unit}"
        mark = "ok" if self.value <= self.limit else "MISSED"
        return f"{self.what:<86} {self.value:9.3f} {self.unit:<4} (at most {self.limit:g}: {mark})"
