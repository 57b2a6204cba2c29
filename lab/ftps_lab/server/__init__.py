"""Our own server, on pyftpdlib: control connections in `handlers`, data connections in `data`, contexts in `tls`."""
