"""Places where servers and lftp run: `sealed` by the kernel, or this machine's `loopback`; `choice` picks one."""
