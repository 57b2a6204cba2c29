"""The harness: real lftp against the lab's servers, and a verdict only if three witnesses agree.

From the bottom up; modules import only from layers below:

- `errors`; `words`: the few words that scenario, sandbox and client share.
- `scenario`: the scenario file, its format, how to find such files, and a new one.
- `sandbox`: HOME, processes, secrets, signals, and the private namespaces that seal a run.
- `client`: the programs that connect, lftp and openssl, and what their messages mean.
- `verdict`: derives a verdict from the evidence of the client, the server and the wire. Pure.
- `play`: a scenario's steps and controls; `play.actions`: lftp's tasks and what proves them; `play.places`: where
  servers and lftp live.
- `doctor`: what this machine has and lacks; `report`: results for people and programs.
- `matrix`: everything in containers; `teach`: for a class; `testing`: for pytest.
- `cli`, `pytest_plugin`: the entry points.
"""
