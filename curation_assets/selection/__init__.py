"""Selection: which documents make the corpus, and its text as it will be trained on."""
