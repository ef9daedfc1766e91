"""Labelled data sets on disk: read, previewed, exported."""
