"""For teachers and learners: `serve` keeps a scenario's server running."""
