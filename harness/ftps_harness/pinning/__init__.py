"""Pinning: a contract for tools that pin certificates for lftp, judged by what they write, and a tool that keeps it.

- `contract`: every requirement, one record each; `config`: what a tool says of itself.
- `command`: the tool under test, its command lines; `certificates`, `rig`: where it is run, and what lftp makes of what
  it wrote.
- `checks`: what is done for each requirement; `planted`: tools of ours, right and wrong, that every run begins with.
- `check`: all of it; `reports`: what people and programs see.
- `tool`: `ftps-lab pin`, which knows nothing of the above.
"""
