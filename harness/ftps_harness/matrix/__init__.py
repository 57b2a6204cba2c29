"""lftp builds × FTPS servers × scenarios, in containers.

`builds` lists the builds and servers, `shell` starts programs in a client's container, `containers` has the place (one
build against one server, in their own network) where the runner plays scenarios, `play` runs all pairs, `answers`
formats the answer of a cell as one line, `baseline` compares it with the committed one; `terminal` with its `table`,
and `matrix_json`, show the result.
"""
