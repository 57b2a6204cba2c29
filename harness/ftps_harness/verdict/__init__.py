"""From observations to a verdict: pure, no files, no sockets."""
