"""`ftps-lab pin`, the reference pinning tool: fetch once, compare, ask lftp, write whole files or nothing.

From the bottom up: `target` is the host as it was typed; `fetch` the one connection to it; `certificate` what was seen.
`pins` and `block` are the two things that are kept: the file of certificates, and the lines in the rc. `places` says
where lftp reads them, `writing` replaces them in one step, `asking` is real lftp, `effect` what its answer must be.
`plan` puts a change together and carries it out; `words` says what it means.

It uses no server of the lab and no sandbox: it is for the user's own HOME and the user's own server.
"""
