"""Block coordinate descent: some entries at a time, the others held."""
