"""Tasks by name: the built-in ones, and those of the user's own, with their options."""
