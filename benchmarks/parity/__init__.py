"""Our gates, languages, URL rules and clusters beside those of datatrove, page by page; see `__main__`."""
