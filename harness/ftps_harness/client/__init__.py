"""The programs that connect: `lftp`, what its `messages` mean, and `s_client` of openssl."""
