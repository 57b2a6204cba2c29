"""Raw bytes of the network: a capture of everything on a sandbox's loopback, and the connections that are in it.

`capture` reads packets from the kernel; `flows` makes connections of them; `tls` is the only reader of TLS records,
`certificates` reads which certificate a server showed, `addresses` where data connections go (227, 229, PORT, EPRT).
`memory_tls` and `tap` are what our own servers run on. All but `capture`, `memory_tls` and `tap` are pure.
"""

from ftps_lab.wire.flows import Flow, Flows, Traffic

__all__ = ["Flow", "Flows", "Traffic"]
