"""The lab: certificates with exactly one thing wrong, the FTPS servers that show them, and what they witnessed.

It knows nothing of lftp, scenarios or pytest: `ftps_harness` builds on it, never the other way round.

- what others see: `certificates` are issued; `interface` says what a server is, `testimony` what it witnessed.
- our own server: `servers` runs it in a thread, on pyftpdlib's `event_loop`; `handlers` are its control connections,
  `data` its data connections, `attackers` what a client may meet instead. `tls` makes contexts; `tap` records the raw
  bytes beneath TLS, which `memory_tls` and `channel` make possible; `recorder` collects what is witnessed.
- other servers: `daemons`.
- servers elsewhere: `agent` runs one and `remote` is the handle on it, `orders` what passes between the two;
  `containers` is where that is. `classroom` is what the hosts of compose.yaml run.
"""
