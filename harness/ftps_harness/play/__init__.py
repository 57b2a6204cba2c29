"""Playing a scenario: `runner` its steps, `attempt` one run of lftp, `actions` what lftp does there, `places` where."""
