"""The lake: where parts live, how they are committed, and how they are read."""
