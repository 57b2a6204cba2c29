"""The command of the checker's container: the server, or with `judge`, one exercise as an ordinary user."""

from __future__ import annotations

import sys
from pathlib import Path

from ftps_harness.errors import HarnessError
from ftps_harness.teach.classroom import server
from ftps_lab.errors import LabError


def main(arguments: list[str]) -> int:
    """Return 0, or 1 if it cannot work; the message goes to stderr."""
    try:
        if arguments == ["judge"]:
            server.judge_once(sys.stdin.buffer.read())
        else:
            server.serve(Path("/staff"), Path("/handout"), Path("/home"))
    except (LabError, HarnessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
