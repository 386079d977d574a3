"""Crashes, drains, lost clients and sick disks, over real processes and sockets."""
