"""What a program's calls do: on a socket, on a descriptor's number, on signals and on the files of Unix sockets.

`systemcall` has what all calls of a socket have in common, and `tries` how one waits; `simnet.socket` combines them,
`simnet.backend` offers the others. Their arguments are checked above them, the kernel below answers.
"""
