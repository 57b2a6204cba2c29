"""Where servers and lftp live: `sealed` by the kernel, or this machine's `loopback`; `choice` picks one."""
