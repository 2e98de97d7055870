"""The benchmark: Rowboat beside what people would pick instead, and beside its own limits. See README.md."""
