"""Models: encoders, fusion functions and heads, and one file per model family."""
