"""The command line: the same assets, with progress bars, and answers about what they made."""

from curation_assets.cli import answers, making, takedowns
from curation_assets.cli.program import app

__all__ = ["answers", "app", "making", "takedowns"]
