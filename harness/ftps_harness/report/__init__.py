"""What people and programs get to see of a run: terminal, JSON, JUnit, and the evidence that is kept.

`tally` holds a run's results and what they come to; `account` tells what the witnesses said, as plain text.
"""
