"""The trials of a race: how each is planned, trained and recorded, and its key."""
