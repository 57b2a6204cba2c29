"""Servers in other networks: `agent` runs one there, `handle` is the caller's end, `orders` defines the messages."""
