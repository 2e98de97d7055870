-- Find out whether the database can be written: takes all that a write takes, and changes nothing.

UPDATE totals
   SET total = total
 WHERE name = '';
