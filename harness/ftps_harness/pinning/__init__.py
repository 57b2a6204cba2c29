"""Pinning: a contract for tools that pin certificates for lftp, judged by what they write, and a tool that meets it.

- `contract`: every requirement, one record each; `config`: the tool's own declarations.
- `command`: the tool under test and its command lines; `certificates`, `rig`: the environment in which it runs, and
  lftp's behaviour with the files that it wrote.
- `checks`: the procedure for each requirement; `planted`: our own correct and flawed tools, which every run checks
  first.
- `check`: runs everything; `reports`: output for people and programs.
- `tool`: `ftps-lab pin`, which is independent of the above.
"""
