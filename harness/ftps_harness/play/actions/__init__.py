"""What lftp is asked to do, and what proves that it did it."""
