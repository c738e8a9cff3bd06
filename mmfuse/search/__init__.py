"""Architecture searches: one file each, `drive` is the only loop."""
