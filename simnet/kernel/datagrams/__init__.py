"""UDP and UDP-Lite: sockets, ports, groups, what comes with a datagram, and what goes wrong with one."""
