"""Raw bytes of the network: a capture of everything on a sandbox's loopback, and the connections in it.

`capture` reads packets from the kernel; `flows` assembles them into connections; `tls` is the only reader of TLS
records; `certificates` finds the certificate that a server showed; `addresses` reads where data connections go (227,
229, PORT, EPRT). Our own servers run on `memory_tls` and `tap`. All but `capture`, `memory_tls` and `tap` are pure.
"""

from ftps_lab.wire.flows import Flow, Flows, Traffic

__all__ = ["Flow", "Flows", "Traffic"]
