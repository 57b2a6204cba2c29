"""Raw bytes of the network: a capture of everything on a sandbox's loopback, and the connections that are in it.

`capture` reads packets from the kernel; `flows` makes connections of them, and is pure.
"""

from ftps_lab.wire.flows import Flow, Flows, Traffic

__all__ = ["Flow", "Flows", "Traffic"]
