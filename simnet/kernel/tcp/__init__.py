"""TCP: its sockets, states and segments, in and out."""
