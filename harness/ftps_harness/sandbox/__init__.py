"""A sandbox: private user, network, mount, PID and IPC namespaces in which the lab's agent and lftp run.

`sandbox` is the handle outside. Inside, `supervisor` is the first process, `view` what a program sees of the file
system, `kernel` the system calls; `interruption` kills a program at a file change, or simulates a full disk (`changes`
says when, and what was seen). No packet can leave the sandbox, and every process in it ends with it.
"""
