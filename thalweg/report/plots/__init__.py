"""Pages with one figure: a range test, schedules."""
