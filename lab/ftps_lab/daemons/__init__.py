"""Real FTP daemons behind `ftps_lab.interface.Server`, witnessed by their logs, their files and a relay.

```python
with DaemonServer("vsftpd", spec, root=folder, password="secret", users=("alice",), host="127.0.0.1") as server:
    ...
    server.settle()
    print(server.testimony(), server.wire())
```

It knows nothing of Docker: it runs inside the daemon's container, and on any machine that has the daemon.

- Serving: `kinds` is the table of daemons, `daemon` holds what they share, and `vsftpd`, `proftpd` and `pure_ftpd` hold
  each one's configuration and log format; `process` or `inetd` starts a daemon, `syslog` collects what it logs to
  /dev/log, and `probe` fetches its certificate.
- Witnessing: `relay` makes a `recording`, `ftps_lab.wire.tls` reads the TLS in it, `log` interprets a daemon's log, and
  `builder` combines everything into a testimony.

`server` puts them all together.
"""

from ftps_lab.daemons.daemon import is_user
from ftps_lab.daemons.kinds import ANONYMOUS, DAEMONS, NEEDS, why_not
from ftps_lab.daemons.server import DaemonServer

__all__ = ["ANONYMOUS", "DAEMONS", "NEEDS", "DaemonServer", "is_user", "why_not"]
