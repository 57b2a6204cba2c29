"""`--html F`: one self-contained page that needs neither network nor JavaScript.

`page` renders a template; `run` is the page of `ftps-lab run`. The code for the pages of `verify`, `pin-check` and
`matrix` is next to their other reports; their templates are here.
"""
