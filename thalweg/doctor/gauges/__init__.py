"""Gauges: what is read in steps that are looked at, a kind of evidence a file."""
