"""Which user and password lftp uses, and which the server accepts (docs/reference.md, "Users and passwords"). Pure.

A password in a step is the correct one, as any user would expect, unless the step expects ``login-failed`` or the
server specifies its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftps_harness.sandbox.secrets import Secrets
    from ftps_harness.scenario import Step, Verdict
    from ftps_lab.interface import ServerSpec

ANONYMOUS = "anonymous"
"""Logs in as lftp does if no user is given. Such a login never uses explicit TLS, whereas
``open -u anonymous`` does (docs/lftp.md, "Anonymous logins")."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password."""

    user: str
    password: str

    @classmethod
    def of(cls, spec: ServerSpec, secrets: Secrets, user: str | None = None, password: str | None = None) -> Login:
        """Return the login that lftp gets: the step's user and password, else the correct ones.

        Args:
            spec: The server's current spec.
            secrets: The run's own user and password, which are correct for a server that specifies none.
            user: The step's user, if any.
            password: The step's password, if any.
        """
        return cls(
            user=_first(user, spec.user, secrets.user),
            password=_first(password, spec.password, secrets.password),
        )


def right_password(step: Step, expected: Verdict) -> str | None:
    """The password that the server accepts in a step; None for the run's own."""
    if step.server.password is not None or expected == "login-failed":
        return step.server.password
    return step.password


def is_right(step: Step) -> bool:
    """Whether a step's user and password are correct, so that a refused login has another cause."""
    right_user = step.user is None or step.user == ANONYMOUS or step.server.user in {None, step.user}
    return right_user and (step.password is None or step.password == step.server.password)


def _first(*texts: str | None) -> str:
    return next(text for text in texts if text is not None)
