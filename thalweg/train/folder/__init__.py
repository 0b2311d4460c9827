"""Runs on disk: the folder that a run leaves behind, written and read in one place."""
