"""`ftps-lab verify`: attacks a user's own lftp setup and reports what leaked.

- `subject`: the rc file, folder or lftp script under test; `pins`: the certificates and fingerprints in it, and what
  the lab serves in their place.
- `stage`: a copy of the setup in the sealed place, with a server; `trials`: the trials played there, one record each.
- `files`: findings from the files alone; `lines`: asks lftp which line of the rc is responsible.
- `findings`: one record for each kind of finding; `judge`: turns trials into findings (pure).
- `program`: a command under test instead of an rc; `discovery`: where that command connects, and as which user.
- `base`: the part that `rc` and `command` share; `verify` starts one of them; `config` reads ftps-lab.toml; `reports`
  shows the results; `explain` says what a finding means.
"""
