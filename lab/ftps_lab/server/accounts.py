"""Several accounts on one server, each with its own password and folder, for example for a class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftps_lab.server.handlers import Doorman, root_path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # as in ftps_lab.server.data
    from pyftpdlib.exceptions import AuthenticationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """One user of a server.

    Attributes:
        password: This user's password; it admits no other user.
        folder: The root that this user sees; the caller owns it.
    """

    password: str
    folder: Path


class AccountsDoorman(Doorman):
    """The authorizer of a server with accounts: it admits only these users, each with its password.

    It refuses anonymous logins on purpose. lftp logs in anonymously, without TLS and without saying so, whenever it
    knows no user for a host name (docs/lftp.md, "Anonymous logins"). If the reply is "Login incorrect", it retries for
    ever (its setting ``ftp:retry-530-anonymous``; measured on 4.9.2): that is why the reply here differs.
    """

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        super().__init__("", "")
        self._accounts = accounts

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        """Raise AuthenticationFailed unless the password is this user's own."""
        if username == "anonymous":
            raise AuthenticationFailed("Anonymous logins are refused: use the host's full name.")
        account = self._accounts.get(username)
        if account is None or password != account.password or not handler.lab_in_utf8:
            raise AuthenticationFailed("Login incorrect.")

    def get_home_dir(self, username: str) -> str:
        """The user's own folder."""
        return root_path(self._accounts[username].folder)
