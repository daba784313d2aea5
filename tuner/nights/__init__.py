"""Nights: the jobs of a database, run one after the other by their shares, and what came of them by the morning."""
