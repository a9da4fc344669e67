"""The states of a connection, named as in netstat, the transitions that closing makes between them, and what is shut down."""

from typing import Final

CLOSED: Final = "CLOSED"
LISTEN: Final = "LISTEN"
SYN_SENT: Final = "SYN_SENT"
SYN_RECV: Final = "SYN_RECV"
ESTABLISHED: Final = "ESTABLISHED"
FIN_WAIT1: Final = "FIN_WAIT1"
FIN_WAIT2: Final = "FIN_WAIT2"
CLOSE_WAIT: Final = "CLOSE_WAIT"
CLOSING: Final = "CLOSING"
LAST_ACK: Final = "LAST_ACK"
TIME_WAIT: Final = "TIME_WAIT"

# We send FIN (RFC 9293, figure 5). States that are not here have sent theirs, or never had a stream.
AFTER_OUR_FIN: Final = {SYN_RECV: FIN_WAIT1, ESTABLISHED: FIN_WAIT1, CLOSE_WAIT: LAST_ACK}

# The peer's FIN arrives.
AFTER_PEER_FIN: Final = {
    SYN_RECV: CLOSE_WAIT,
    ESTABLISHED: CLOSE_WAIT,
    FIN_WAIT1: CLOSING,
    FIN_WAIT2: TIME_WAIT,
}

# Our FIN is acknowledged.
AFTER_FIN_ACKNOWLEDGED: Final = {FIN_WAIT1: FIN_WAIT2, CLOSING: TIME_WAIT, LAST_ACK: CLOSED}

# tcp_need_reset: who tears the connection down in these states owes the peer an RST.
OWES_RESET: Final = frozenset({SYN_RECV, ESTABLISHED, CLOSE_WAIT, FIN_WAIT1, FIN_WAIT2})

# States in which the peer may still send data.
RECEIVING: Final = frozenset({ESTABLISHED, FIN_WAIT1, FIN_WAIT2})

# What a socket of any kind has shut down, beside its state (K-002).
SHUT_RECEIVE: Final = 1
SHUT_SEND: Final = 2
SHUT_BOTH: Final = 3
