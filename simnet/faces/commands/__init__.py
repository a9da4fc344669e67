"""What the commands of ``simnet`` do, one module each."""
