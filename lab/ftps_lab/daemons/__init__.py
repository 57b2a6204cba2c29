"""Real FTP daemons behind `ftps_lab.interface.Server`, witnessed by their logs, their files and a relay.

```python
with DaemonServer("vsftpd", spec, root=folder, password="secret", users=("alice",), host="127.0.0.1") as server:
    ...
    server.settle()
    print(server.testimony(), server.wire())
```

It knows nothing of Docker: it runs inside the daemon's container, and on any machine that has the daemon.

- what serves: `kinds` is the table of daemons, `daemon` what they have in common, `vsftpd`, `proftpd` and `pure_ftpd`
  the configuration and the log of each; `process` or `inetd` starts one, `syslog` takes what it logs to /dev/log,
  `probe` asks it for its certificate.
- what witnesses: `relay` records a `tape`, `ftps_lab.wire.tls` reads the TLS on it, `log` says what a daemon's log
  means, `account` makes a testimony of it all.

`server` is the whole of them.
"""

from ftps_lab.daemons.daemon import is_user
from ftps_lab.daemons.kinds import ANONYMOUS, DAEMONS, NEEDS, why_not
from ftps_lab.daemons.server import DaemonServer

__all__ = ["ANONYMOUS", "DAEMONS", "NEEDS", "DaemonServer", "is_user", "why_not"]
