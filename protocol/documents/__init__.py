"""What is generated from the very types that decide on the wire: schema, AsyncAPI, TypeScript.

Nothing here runs while the server serves: `scripts/generate` writes the files, and they are
checked in, so that a change of the wire is seen in its diff.
"""
