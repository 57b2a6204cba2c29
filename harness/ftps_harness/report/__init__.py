"""What people and programs get to see of a run: terminal, JSON, JUnit, pages, and the evidence that is kept.

- what is told: `tally` holds a run's results and what they come to, `account` tells what the witnesses said, and
  `side_by_side` compares scenarios of the same steps; `plain` has the words, and makes foreign bytes harmless.
- to whom: `terminal` with its `progress`, `json_report`, `junit`, `html`, and `evidence` for `--keep`; `showing` is
  `ftps-lab show`, `findings` is `ftps-lab doctor`. `console` and `files` are what they write to.
"""
