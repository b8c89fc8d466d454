"""One SQLite file that is the truth of a store: schema, transactions, format version, checksums."""
