"""The reports of `ftps-lab verify`.

For people (`terminal`), for programs (`as_json`), for GitHub (`github`), for CI servers (`junit`) and for code scanning
(`sarif`). `identity` gives findings names that stay the same from run to run.
"""
