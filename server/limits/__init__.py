"""How much of everything one may have: rates, and counts of sockets."""
