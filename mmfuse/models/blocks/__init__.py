"""Mixer blocks: one file each; the file's name is the block's name."""
