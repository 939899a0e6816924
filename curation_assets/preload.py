"""Imported once by the fork server: every worker starts with all stations, libraries and kernels in place."""

import curation_assets.line
from curation_assets.kernels import part_kernels

part_kernels()

__all__ = ["curation_assets"]
