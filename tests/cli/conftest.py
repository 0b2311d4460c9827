from tests.cli.commands import line_file
from tests.race.conftest import short_turns

__all__ = ["line_file", "short_turns"]
