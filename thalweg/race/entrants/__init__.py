"""The entrants of a race: optimizers with what is searched of them, and those known by name."""
