"""From boxes to painted pixels: pure, NumPy and OpenCV; no files, no torch, no framework."""
