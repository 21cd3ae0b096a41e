"""The search index: its words, its rows, and what is shown of a hit."""
