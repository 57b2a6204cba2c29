"""The harness: real lftp against the lab's servers, and a verdict only where three witnesses agree.

- what is to happen: `scenario` reads a file, `catalogue` finds files, `template` writes a new one, `controls` says what
  proves a step's verdict.
- where it happens: `places` chooses one; `sealed` is a `sandbox` of kernel namespaces, `place` this machine's loopback,
  which refuses what `leads` outside. `home` is the sealed HOME; `secrets`, `login` and `material` are made for one run.
- what lftp is told to do: `tasks`, `literals` for commands as a scenario writes them, `marks` for those that succeeded.
- what happens: `runner` plays scenarios, `pool` many of them at a time, `attempt` is one run of lftp; `lftp` and
  `s_client` start programs, `process` ends them, `signals` hears Ctrl-C.
- what it comes to: `messages` and `client` read lftp's words; `evidence`, `transferred`, `reverse`, `stored`, `hiding`
  its files and the server's; `on_the_wire`, `needles` and `traffic` the raw bytes; `claims` what a server claims.
  `agreement` and `outcome` hear the witnesses, `verdict` judges.
- who sees it: `report`; `cli`, `pytest_plugin` with `testing`, `serve` and `doctor` are thin shells over the rest,
  and `matrix` does all of it in containers.
"""
