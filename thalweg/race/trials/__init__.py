"""The trials of a race: what each is to do, its key, and the record of what it gave."""
