"""The checks: one function for each requirement, which states its expectations to the rig."""
