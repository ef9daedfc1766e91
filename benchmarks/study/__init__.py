"""The study: does repainting boxes help a detector? See README.md."""
