"""Reports: tables for the terminal and pages for the browser, made from plain records.

Everything here reads dictionaries, such as `RaceResult.to_dict()` gives or a file of JSON holds, so
that a report can be made again at any time from what was stored.
"""

from __future__ import annotations

from thalweg.report.data.text import duration
from thalweg.report.page import race_page, write_race_report
from thalweg.report.plots.range_test import plot_range_test
from thalweg.report.plots.schedule import plot_schedules
from thalweg.report.terminal.table import plain_table, race_table
from thalweg.report.words.notes import notes
from thalweg.report.words.verdict import verdict

__all__ = [
    "duration",
    "notes",
    "plain_table",
    "plot_range_test",
    "plot_schedules",
    "race_page",
    "race_table",
    "verdict",
    "write_race_report",
]
