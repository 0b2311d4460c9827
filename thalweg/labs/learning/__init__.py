"""Labs on what is learned: likelihood, risk, surrogates, and what batches tell of both."""
