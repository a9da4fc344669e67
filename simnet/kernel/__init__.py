"""One host's stack: knows no clock, no loop, no other host; a segment in, segments out."""
