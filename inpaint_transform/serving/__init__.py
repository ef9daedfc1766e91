"""Who paints: in this process, or in one server that all processes of a training job share."""
