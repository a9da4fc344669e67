"""Names of hosts and services, and what a network answers for them: ``getaddrinfo`` and its kin, and addresses given to calls."""
