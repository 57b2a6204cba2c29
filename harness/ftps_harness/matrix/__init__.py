"""lftp builds × FTPS servers × scenarios, in containers.

`builds` is the table of what there is, `shell` starts programs in a client's container, `containers` has the place (one
build against one server, in a network of their own) that the runner plays scenarios on, `play` goes through all pairs,
`answers` says what a cell came to in a line, `baseline` holds that against what is committed; `terminal` with its
`table`, and `matrix_json`, show it.
"""
