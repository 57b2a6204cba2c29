"""Words of the scenario format that client and sandbox also use, which do not depend on scenarios."""

from typing import Literal

Dialect = Literal["classic", "status", "openssl"]
"""How a build of lftp words a refusal: a property of the binary, found by probing it (docs/lftp.md, "Builds")."""

Folder = Literal["lftp", "home", "elsewhere"]
"""Where lftp can be started: inside ``~/.lftp``, in HOME, or in an empty folder of its own."""
