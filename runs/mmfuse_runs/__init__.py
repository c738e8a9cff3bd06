"""The run store and the life of a run: folders, journals, index, supervision. Free of torch."""
