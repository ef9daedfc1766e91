"""The pool: painted looks on disk, which every process of a job reads and nobody waits for."""
