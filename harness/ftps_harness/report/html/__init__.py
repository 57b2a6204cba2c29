"""`--html F`: one self-contained page, which needs no network and no JavaScript.

`page` renders a template; `run` is the page of `ftps-lab run`. The pages of `verify`, `pin-check` and `matrix` are made
beside their other reports, from templates that lie here.
"""
