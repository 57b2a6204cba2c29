"""The harness: real lftp against the lab's servers, and a verdict only where three witnesses agree.

From the bottom up; imports point downwards only:

- `errors`; `words`: the few that scenario, sandbox and client share.
- `scenario`: the scenario file, its format, where such files are found, a new one.
- `sandbox`: HOME, processes, secrets, signals, and the private namespaces that seal a run.
- `client`: the programs that connect, lftp and openssl, and what their messages mean.
- `verdict`: from what the client, the server and the wire witnessed to a verdict. Pure.
- `play`: a scenario's steps and controls; `play.actions` is what lftp is asked to do and what proves it, `play.places`
  where servers and lftp live.
- `doctor`: what this machine has and lacks; `report`: what people and programs see of results.
- `matrix`: all of it in containers; `teach`: for a class; `testing`: for pytest.
- `cli`, `pytest_plugin`: how it is started.
"""
