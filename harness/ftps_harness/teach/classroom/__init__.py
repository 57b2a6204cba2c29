"""The classroom's exercises, and the checker that attacks a learner's setup to see whether an exercise is solved.

`exercises` is the table. `judge` plays one exercise against a copy of a learner's HOME, as a user who can read nothing
else; `server` receives the HOMEs from the learners' shells and starts a judge for each.
"""
