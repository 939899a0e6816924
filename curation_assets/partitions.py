"""The snapshots: the one dimension that every asset is partitioned by."""

import dagster as dg

SNAPSHOTS = dg.DynamicPartitionsDefinition(name="snapshots")
"""Names such as `CC-MAIN-2025-05`; the sensor `new_snapshots` adds those that the source lists."""
