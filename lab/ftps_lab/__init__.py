"""The lab: certificates with exactly one defect, the FTPS servers that show them, and the servers' testimony.

It knows nothing about lftp, scenarios or pytest: `ftps_harness` builds on it, never the other way round. Bottom up:

- `errors`, `disk`, `temporary`: error sentences, files that clients leave, temporary folders.
- `certificates` issues them; `interface` defines a server, `testimony` what it witnessed, `recorder` collects that;
  `processes` detects passwords among the arguments of programs.
- `wire`: the only place that reads raw bytes: TLS records, FTP addresses, the tap beneath TLS, a capture.
- `server`: control and data connections of our own server; `attackers`: what a client may meet instead; `servers`
  starts either in a thread.
- `scripted`: servers that follow a script, for behaviour no FTPS server should have. `daemons`: other FTPS servers.
- `remote`: a server in another network. `containers`: that network. `classroom`: what the hosts of compose.yaml run.
"""
