"""The dashboard: look and press.

One reader thread watches the store and posts immutable snapshots (`reader`, `snapshot`); widgets draw what they were
last given and never touch the disk; what a key does to a run is asked of `mmfuse_runs.control` (`verbs`).
"""
