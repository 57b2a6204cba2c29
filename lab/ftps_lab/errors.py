"""The error that the lab raises when it cannot do its work: never a verdict, always a sentence for a person."""


class LabError(Exception):
    """The lab is broken or cannot do what was asked: what happened, where, and what to do about it."""
