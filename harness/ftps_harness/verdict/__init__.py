"""From what was seen to a verdict: pure, without files and sockets."""
