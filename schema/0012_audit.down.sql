-- Forgets who did what to whom.
DROP TABLE audit_horizon;
DROP TABLE audit;
