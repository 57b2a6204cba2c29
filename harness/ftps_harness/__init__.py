"""The harness: real lftp against the lab's servers, and a verdict only where three witnesses agree."""
