"""What came of `ftps-lab verify`.

For people (`terminal`), for programs (`as_json`), for GitHub (`github`), for CI servers (`junit`) and for code scanning
(`sarif`). What a finding is called from day to day, `identity` says.
"""
