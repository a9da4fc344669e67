"""asyncore's maps on the loop: who serves one, what its objects are asked, and which of their handlers are called."""
