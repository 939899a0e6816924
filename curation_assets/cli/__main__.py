"""`python -m curation_assets.cli`."""

import sys

from curation_assets.cli import app

sys.exit(app())
