"""`ftps-lab verify`: attacks somebody's own lftp setup, and says what got out.

- `subject`: the rc file, folder or lftp script that is verified; `pins`: the certificates and fingerprints in it, and
  what the lab serves in their place.
- `stage`: a copy of the setup in the sealed place, with a server; `trials`: what is tried there, one record each.
- `files`: what the files themselves show; `lines`: which line of the rc is responsible, asked of lftp.
- `findings`: one record for each kind of finding; `judge` makes findings of trials, pure.
- `program` is a command that is verified instead, `discovery` where it goes and as whom.
- `base` is what `rc` and `command` have in common, `verify` begins one of them; `config` reads ftps-lab.toml, `reports`
  shows what came of it, `explain` what a finding means.
"""
