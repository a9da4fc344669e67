"""TLS in a run: its sockets, what of it is compared, and what lies unread in it."""
