"""Training scripts of the embedded models."""
