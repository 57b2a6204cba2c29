"""`ftps-lab pin`, the reference pinning tool: fetch once, compare, ask lftp, write whole files or nothing.

From the bottom up:

- `target`: the host as typed; `certificate`: facts about the server's certificate; `wire`, `handshake` and `fetch`: the
  single connection to it.
- `pins` and `block`: the two stored parts, the file of certificates and the lines in the rc.
- `places`: where lftp reads them; `writing`: replaces them atomically; `asking`: asks real lftp; `effect`: the answer
  that lftp must give.
- `state`: the pinned state and its changes; `words`: explanations; `tool`: the command itself.

It does not use the lab's servers or a sandbox: it is for the user's own HOME and the user's own server.
"""
