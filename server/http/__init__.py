"""The plain HTTP side: health, credentials, documents; every answer through one way out."""
