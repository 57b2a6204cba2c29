"""Reports of a run for people and programs: terminal, JSON, JUnit, pages, and the kept evidence.

- content: `tally` holds a run's results and their totals, `account` formats what the witnesses said, and `side_by_side`
  compares scenarios with the same steps; `plain` has the wording, and makes foreign bytes harmless.
- output: `terminal` with its `progress`, `json_report`, `junit`, `html`, and `evidence` for `--keep`; `showing` is
  `ftps-lab show`, `findings` is `ftps-lab doctor`. They write to `console` and `files`.
"""
