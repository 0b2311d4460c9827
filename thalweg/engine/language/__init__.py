"""From a rule as it is written to a program: trace it on symbols, compose a chain, lower the record."""
