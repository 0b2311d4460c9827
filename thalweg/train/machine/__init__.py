"""The machine that trains: its devices, its threads, the versions of its software."""
