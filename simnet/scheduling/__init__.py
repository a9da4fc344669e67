"""Who runs next and on what, and whether the run gets anywhere."""
