"""AF_UNIX sockets: names, streams, records and datagrams, and what travels in them."""
