"""The lab: certificates with exactly one thing wrong, the FTPS servers that show them, and what they witnessed.

It knows nothing of lftp, scenarios or pytest: `ftps_harness` builds on it, never the other way round.
"""
