"""The classroom: a network of hosts for learners, each in a container of its own (compose.yaml, docs/classroom.md).

    python -m ftps_lab.classroom serve expired     # inside the container named expired
    python -m ftps_lab.classroom check             # its health: does it show what it is there to show?
    python -m ftps_lab.classroom rotate            # another certificate, from now on

`hosts` is the table, `check` a client that looks at a host as a careful learner does, `journal` what the teacher reads,
`serve` the host itself.
"""
