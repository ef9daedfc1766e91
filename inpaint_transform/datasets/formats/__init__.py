"""File formats: one module reads, writes and places each of YOLO, COCO and Pascal VOC."""
