"""The client programs: `lftp`, the meaning of its `messages`, and openssl's `s_client`."""
