"""Formats of files that tasks read: IDX, JPEG, text."""
