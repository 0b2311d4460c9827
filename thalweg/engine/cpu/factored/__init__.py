"""Programs that see a matrix through numbers of its rows and its columns, as Adafactor does."""
