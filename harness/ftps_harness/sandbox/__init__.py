"""A sandbox: private user, network, mount, PID and IPC namespaces in which the lab's agent and lftp live.

`sandbox` is the handle on one, outside. Inside, `supervisor` is the first process, `view` what a program sees of the
file system, `kernel` the system calls; `interruption` kills a program at a change of a file, or lets its disk be full
(`changes` says when, and what was seen). No packet can leave, and every process ends with it.
"""
