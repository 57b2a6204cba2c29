"""What people and programs see of a tool that was held against the contract."""
