"""Names of hosts and services, and how a network answers them: ``getaddrinfo`` and its relatives, and addresses given to calls."""
