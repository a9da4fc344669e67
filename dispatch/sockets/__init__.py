"""What sockets and their addresses need beside the verbs that dispatch asks of them."""
