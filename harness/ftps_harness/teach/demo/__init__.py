"""The demonstration: plays the document in chapters for real, and checks each claim against the recorded evidence.

- `parts`: the content as data; `chapters`: the chapters, their servers, their claims.
- `stage`: plays an act and turns the witnesses' evidence into parts; `play`: plays chapter by chapter.
- `terminal`, `markdown`, `cast`: present the parts to people.
"""
