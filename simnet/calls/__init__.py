"""What the calls of a program do: of a socket, of a descriptor's number, of signals and of the files of Unix sockets.

`systemcall` has what all calls of a socket have in common; `simnet.socket` puts them together, `simnet.backend` hands out
the others. Their arguments are looked at above them, the kernel below answers.
"""
