"""What outlives a process: rows in SQL, the conversation log, jobs.

Interfaces state ordering and atomicity; every implementation passes the same contract suite.
Of `protocol`, only `types` and `text` are known here: the log stores encoded bytes, so a change of
the wire forces no migration.
"""
