"""Several accounts on one server, each with a password and a folder of its own: a class, say."""

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
        password: Lets this user in, and no other.
        folder: What this user sees as the root; the caller owns it.
    """

    password: str
    folder: Path


class AccountsDoorman(Doorman):
    """The authorizer of a server with accounts: it lets in nobody else, and nobody without a password.

    An anonymous login is refused on purpose. lftp logs in anonymously, without TLS and without a word, wherever it
    knows no user for a host's name (docs/lftp.md, "Anonymous logins"). It tries again for ever where the reply to that
    is "Login incorrect" (its setting ``ftp:retry-530-anonymous``; measured on 4.9.2): here the reply is another.
    """

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        super().__init__("", "")
        self._accounts = accounts

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        """Raises AuthenticationFailed unless the password is this user's own."""
        if username == "anonymous":
            raise AuthenticationFailed("Nobody comes in here without a name: use the host's full name.")
        account = self._accounts.get(username)
        if account is None or password != account.password or not handler.lab_in_utf8:
            raise AuthenticationFailed("Login incorrect.")

    def get_home_dir(self, username: str) -> str:
        """The user's own folder."""
        return root_path(self._accounts[username].folder)
