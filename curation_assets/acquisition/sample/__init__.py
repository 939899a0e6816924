"""The embedded sample: a small snapshot in Common Crawl's shape, written by our own code for demo and tests."""
