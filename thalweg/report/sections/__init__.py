"""The sections of the page of a race, a file each."""
