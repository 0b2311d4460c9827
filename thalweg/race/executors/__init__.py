"""Where the trials of a race run: in this process, in workers of this machine, or on Ray."""
