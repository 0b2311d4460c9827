"""Judging a race: pure functions from its records to its results.

reached      when a trial met the target, read off its curve
summary      the trials of a point in a few numbers
selection    an entrant's best point, by the seeds of tuning
target       a target set by rule
evidence     the trials that judge: those of the final
luck         what the choice of a point may have lost: claims allow for it
looks        what is claimed after the first seeds, and after more where they decide
further      what still more seeds would cost, and could tell
scores       what entrants are ordered and compared by
claims       which of two is better, as far as the data tell
standings    the order, in groups of those that are not told apart
tuning       what tuning says: sensitivity, budget curves, cost
judge        all of that for a race
"""
