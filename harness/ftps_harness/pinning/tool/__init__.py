"""`ftps-lab pin`, the reference pinning tool: fetch once, compare, ask lftp, write whole files or nothing.

From the bottom up:

- `target` is the host as it was typed; `certificate` what a server shows; `wire`, `handshake` and `fetch` are the one
  connection to it.
- `pins` and `block` are the two things that are kept: the file of certificates, and the lines in the rc.
- `places` says where lftp reads them, `writing` replaces them in one step, `asking` is real lftp, `effect` what its
  answer must be.
- `state` is what is pinned, and how it becomes another; `words` says what it means; `tool` puts all together.

It uses no server of the lab and no sandbox: it is for the user's own HOME and the user's own server.
"""
