"""What the harness raises: whose fault it is decides the exit code (docs/reference.md, "Exit codes")."""


class UsageError(Exception):
    """What the user gave cannot be used (a file, a name, an option): exit code 2."""


class HarnessError(Exception):
    """The harness could not do its work (no lftp, no place to write): exit code 3, never a verdict."""
