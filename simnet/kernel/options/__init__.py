"""The options of sockets: their numbers, what they accept and tell, and what they do."""
