"""What every implementation of the conversation log promises, and a model of what may happen to it.

An implementation joins by one more entry of HARNESSES in `harnesses`.
"""
