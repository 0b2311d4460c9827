"""A result in words: the verdict, what to know before trusting it, how two entrants compare."""
