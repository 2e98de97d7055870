-- The keys stay as they are. An older version does not find the names whose keys have changed; logins go by email.
SELECT 1;
