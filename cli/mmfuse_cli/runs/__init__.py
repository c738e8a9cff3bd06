"""The commands of `mmfuse runs`, one subject a file."""
