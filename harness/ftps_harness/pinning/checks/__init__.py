"""What is done for each requirement: a function each, which says to the rig what it expects."""
