"""The demonstration: the document in chapters, played for real, each claim held against what was recorded.

- `parts`: what is shown, as data; `chapters`: the chapters, their servers, their claims.
- `stage`: plays an act and turns what the witnesses saw into parts; `play`: chapter by chapter.
- `terminal`, `markdown`, `cast`: what people see of the parts.
"""
