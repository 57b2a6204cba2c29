r"""Find, identify and run lftp: the only package that starts it.

    lftp = identify(find(None))
    with Home() as home:
        home.write_rc('set ssl:ca-file "~/.lftp/mycert.crt"\n')
        script = [*settings_of_ours("localhost"), open_command("explicit", "localhost", 2121, user), "ls"]
        run(lftp, home, script=script, password=password, timeout=30)

`binary` finds and identifies it, `session` runs it, `settings` writes its commands and reads its settings back,
`system_rc` reports what `/etc/lftp.conf` would add, `clock` runs it at another time, `locales` in another locale.
"""

from ftps_harness.client.lftp.binary import Lftp, find, identify
from ftps_harness.client.lftp.clock import why_no_clock
from ftps_harness.client.lftp.locales import why_no_locale
from ftps_harness.client.lftp.session import Run, run
from ftps_harness.client.lftp.settings import LAB_ADDRESS, open_command, read_back, settings_of_ours, settings_text
from ftps_harness.client.lftp.system_rc import (
    SYSTEM_RC,
    keep_out_system_rc,
    lines_that_touch_trust,
    system_rc_lines,
    system_rc_prefix,
)

__all__ = [
    "LAB_ADDRESS",
    "SYSTEM_RC",
    "Lftp",
    "Run",
    "find",
    "identify",
    "keep_out_system_rc",
    "lines_that_touch_trust",
    "open_command",
    "read_back",
    "run",
    "settings_of_ours",
    "settings_text",
    "system_rc_lines",
    "system_rc_prefix",
    "why_no_clock",
    "why_no_locale",
]
