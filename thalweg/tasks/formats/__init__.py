"""Formats of files that tasks read: IDX, tables of numbers, text."""
