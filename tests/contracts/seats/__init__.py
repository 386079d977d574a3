"""What every record of who is connected where promises.

An implementation joins by one more entry of HARNESSES in `harness`.
"""
