"""What all strategies share: stages, one after the other, and the run that they make together."""
