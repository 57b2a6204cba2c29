"""The lab: certificates with exactly one thing wrong, the FTPS servers that show them, and what they witnessed.

It knows nothing of lftp, scenarios or pytest: `ftps_harness` builds on it, never the other way round. Bottom up:

- `errors`, `disk`, `temporary`: sentences, files of others, folders that are cleared.
- `certificates` are issued; `interface` says what a server is, `testimony` what it witnessed, `recorder` collects it;
  `processes` sees which passwords are among the arguments of programs.
- `wire`: the only place that reads raw bytes: TLS records, FTP addresses, the tap beneath TLS, a capture.
- `server`: control and data connections of our own server; `attackers`: what a client may meet instead; `servers`
  starts either in a thread.
- `scripted`: servers that follow a script, for what no FTPS server should be. `daemons`: other FTPS servers.
- `remote`: a server in another network. `containers`: where that is. `classroom`: what the hosts of compose.yaml run.
"""
