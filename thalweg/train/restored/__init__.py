"""What is changed for a while and put back: modes, random generators, weights, whole runs in progress."""
