"""The commands of `mmfuse arch`, one subject a file."""
