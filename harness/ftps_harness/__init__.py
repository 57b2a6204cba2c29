"""The harness: real lftp against the lab's servers, and a verdict only where three witnesses agree.

- what is to happen: `scenario` reads a file, `catalogue` finds files, `template` writes a new one, `controls` says what
  proves a step's verdict.
- where it happens: `place` is this machine or somewhere else, `home` the sealed HOME, `secrets` and `material` what is
  made for one run, `tasks` what lftp is told to do.
- what happens: `runner` plays scenarios, `pool` many of them at a time, `attempt` is one run of lftp; `lftp` and
  `s_client` start programs, `process` ends them, `signals` hears Ctrl-C.
- what it comes to: `messages` reads lftp's words, `on_the_wire` the raw bytes; `agreement` and `outcome` hear the
  witnesses, `verdict` judges.
- who sees it: `report`; `cli`, `pytest_plugin` with `testing`, `serve` and `doctor` are thin shells over the rest,
  and `matrix` does all of it in containers.
"""
