"""How plans name what no segment tells of."""
