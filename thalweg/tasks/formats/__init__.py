"""Formats of files that tasks read: IDX, images, tables of numbers, text."""
