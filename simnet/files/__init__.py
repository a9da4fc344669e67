"""What a descriptor is beside a simulated socket, and what is left of a file whose run, path or owner is gone."""
