from tests.cli.commands import line_file

__all__ = ["line_file"]
