"""What a run will cost: measured on a sample of WARC files, scaled to the snapshot, with an interval."""
