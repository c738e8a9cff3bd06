"""One file per collection of captioned media; the file's name is the collection's name."""
