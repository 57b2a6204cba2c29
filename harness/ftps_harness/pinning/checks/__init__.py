"""The checks: one function for each requirement, which tells the rig its expectations."""
