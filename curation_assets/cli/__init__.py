"""The command line: the same assets, with progress bars, and answers about what they made."""

from curation_assets.cli import answers, contract, forecast, health, making, report, status, takedowns, verify
from curation_assets.cli.program import app

__all__ = ["answers", "app", "contract", "forecast", "health", "making", "report", "status", "takedowns", "verify"]
