"""One file per family of frozen encoders; the file's name is the family's name."""
