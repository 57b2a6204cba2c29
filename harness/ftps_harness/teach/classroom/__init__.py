"""The classroom's exercises, and the checker that says by attack whether a learner has solved one.

`exercises` is the table. `judge` plays one exercise against a copy of a learner's HOME, as a user who can read nothing
else; `server` takes the HOMEs from the learners' shells and starts a judge for each.
"""
