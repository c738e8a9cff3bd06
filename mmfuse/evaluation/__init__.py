"""Evaluation: what a trained checkpoint is worth."""
