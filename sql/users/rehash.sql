-- Replace a password's hash by a newer one of the same password.
--
--   :user_id   INTEGER  whose password it is
--   :old_hash  TEXT     the hash that the password was verified against
--   :new_hash  TEXT     the same password, hashed with today's parameters
--
-- Changes nothing when the password was changed in the meantime.

UPDATE users
   SET password_hash = :new_hash
 WHERE id = :user_id
   AND password_hash = :old_hash;
