"""The reference implementations: the executable meaning of the interfaces, for one process."""
