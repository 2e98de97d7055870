-- End every session of the caller but the one that asks.
--
--   :me          INTEGER  the caller's user id
--   :token_hash  TEXT     SHA-256 of the token that was sent

DELETE FROM sessions
 WHERE user_id = :me
   AND token_hash <> :token_hash;
