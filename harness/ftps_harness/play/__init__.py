"""Plays scenarios: `runner` plays steps, `attempt` runs lftp once, `actions` is what lftp does, `places` is where."""
