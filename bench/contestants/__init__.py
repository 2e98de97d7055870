"""Who is measured. The peers map the tables that Rowboat's migrations make, and answer the same JSON."""
