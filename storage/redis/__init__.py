"""What instances share over Redis: conversations' logs, and words to each other.

Nothing that was acknowledged is here alone. Keys and channels carry one of 256 buckets as their
hash tag, so that Cluster keeps together what one script touches.
"""
