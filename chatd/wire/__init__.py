"""Sans-IO codecs: bytes to frames or texts, and back. No trio, sockets, TLS, clocks, files or logging."""
