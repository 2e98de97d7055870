-- Keys of usernames without characters that are not shown: "ann" and "ann" with U+FE00 become one name.
--
-- Of accounts that would have one key, the one whose key stays the same keeps its name, else the oldest. The others are
-- renamed to the key, # and their id, such as "ann#17": nobody can register a # in a username. Logins go by email and
-- stay as they are.

CREATE TABLE ignorable_characters (
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
) STRICT;

-- As in handlers/names.py.
INSERT INTO ignorable_characters (first, last)
VALUES (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
       (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
       (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x16FE4, 0x16FE4), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
       (0xE0000, 0xE0FFF);

CREATE TABLE new_username_keys (
    user_id       INTEGER PRIMARY KEY,
    username_key  TEXT    NOT NULL
) STRICT;

INSERT INTO new_username_keys (user_id, username_key)
WITH RECURSIVE
-- Keys are normalized: U+0020 is the only blank, besides U+1680 and symbols that are drawn as one.
characters AS (
    SELECT id AS user_id, username_key AS rest, 0 AS position, 0 AS code
      FROM users
     WHERE role <> 'deleted'
       AND (username_key GLOB '*[^ -~]*' OR username_key LIKE '%  %')
     UNION ALL
    SELECT user_id, substr(rest, 2), position + 1,
           iif(unicode(rest) IN (0x1680, 0x2800, 0xFFFC, 0x1D159), 0x20, unicode(rest))
      FROM characters
     WHERE rest <> ''
),
shown AS (
    SELECT user_id, position, code, lag(code, 1, 0x20) OVER (PARTITION BY user_id ORDER BY position) AS code_before
      FROM characters
     WHERE position > 0
       AND NOT EXISTS (SELECT 1 FROM ignorable_characters WHERE code BETWEEN first AND last)
),
-- Blanks collapse; those at the beginning go.
collapsed AS (
    SELECT user_id, group_concat(char(code), '') AS username_key
      FROM (SELECT user_id, code FROM shown WHERE code <> 0x20 OR code_before <> 0x20 ORDER BY user_id, position)
     GROUP BY user_id
)
SELECT users.id, coalesce(rtrim(collapsed.username_key), '')
  FROM users
  LEFT JOIN collapsed ON collapsed.user_id = users.id
 WHERE users.id IN (SELECT user_id FROM characters)
   AND users.username_key IS NOT rtrim(collapsed.username_key);

UPDATE users
   SET username     = substr(new.username_key, 1, 40) || '#' || users.id,
       username_key = substr(new.username_key, 1, 40) || '#' || users.id
  FROM new_username_keys AS new
 WHERE new.user_id = users.id
   AND (new.username_key IN ('', 'deleted user')
        OR EXISTS (SELECT 1 FROM users AS other WHERE other.username_key = new.username_key)
        OR EXISTS (SELECT 1 FROM new_username_keys AS older
                    WHERE older.username_key = new.username_key
                      AND older.user_id < new.user_id));

UPDATE users
   SET username_key = new.username_key
  FROM new_username_keys AS new
 WHERE new.user_id = users.id
   AND users.username_key NOT LIKE '%#' || users.id;

DROP TABLE new_username_keys;
DROP TABLE ignorable_characters;
