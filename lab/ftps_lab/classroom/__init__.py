"""The classroom: a network of hosts for learners, each in its own container (compose.yaml, docs/classroom.md).

    python -m ftps_lab.classroom serve expired     # inside the container named expired
    python -m ftps_lab.classroom check             # its health: does it show the certificate that it must show?
    python -m ftps_lab.classroom rotate            # switch to another certificate

`hosts` is the table, `check` a client that looks at a host as a careful learner does, `journal` the teacher's log,
`serve` the host itself.
"""
