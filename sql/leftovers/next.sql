-- The closed account whose content is removed next.
--
-- Returns one row for the other files of sql/leftovers/: user_id, and content ('delete' or 'keep'); no row when there is
-- no closed account.

SELECT user_id,
       iif(user_id IN (SELECT user_id FROM hidden_authors), 'delete', 'keep') AS content
  FROM closed_accounts
 ORDER BY user_id
 LIMIT 1;
