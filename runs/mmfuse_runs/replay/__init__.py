"""Ended runs played again: their files grow in a temporary home as they grew when the runs went on.

Whoever reads that home (the dashboard, a test) sees what it would have seen then, byte for byte; the folders played are
only read.
"""

SPEED = 20.0
"""How many times as fast as they were runs are played unless told otherwise: an hour in three minutes."""
