"""What every way of words between instances promises.

An implementation joins by one more entry of HARNESSES in `harness`.
"""
