"""An example of another repository's tests, of which README.md shows a part.

`make wheel-test` runs it against the built wheel, and `test_plugin.py` runs it with pytester.
"""


def test_my_backup_rc(ftps_server, lftp):  # type: ignore[no-untyped-def]
    server = ftps_server()
    rc = f'set ssl:ca-file "{server.pin}"'
    assert lftp(server, rc=rc).verdict == "accepted"
    server.rotate()
    outcome = lftp(server, rc=rc)
    assert outcome.verdict == "rejected"
    assert outcome.reasons == {"untrusted"}
    assert "Certificate verification" in outcome.message
    assert outcome.testimony.passwords == []
