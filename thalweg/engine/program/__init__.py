"""The program of a chain: its operations, its values in order, its reductions and its noise."""
