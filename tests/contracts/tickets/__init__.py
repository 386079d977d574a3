"""What every store of one-time values promises.

An implementation joins by one more entry of HARNESSES in `harness`.
"""
