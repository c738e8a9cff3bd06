"""The dashboard: look and press."""
