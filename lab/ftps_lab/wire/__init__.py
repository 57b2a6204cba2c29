"""Raw bytes of the network: a capture of everything on a sandbox's loopback, and the connections that are in it.

`capture` reads packets from the kernel; `flows` makes connections of them; `tls` reads TLS, and `certificates` which
certificate a server showed. All but the first are pure.
"""

from ftps_lab.wire.flows import Flow, Flows, Traffic

__all__ = ["Flow", "Flows", "Traffic"]
