"""Reports for people and programs about a tool checked against the contract."""
