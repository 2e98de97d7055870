BEGIN TRANSACTION;
CREATE TABLE article_tags (
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL, -- from 0, in the order in which the author gave them
    tag_id      INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,

    -- An article's tags are read in this order.
    PRIMARY KEY (article_id, position),
    -- For sql/articles/find.sql with a tag: the articles of a tag, in order of id.
    UNIQUE (tag_id, article_id),

    CONSTRAINT article_tags_position_range CHECK (position BETWEEN 0 AND 49)
) STRICT, WITHOUT ROWID;
INSERT INTO "article_tags" VALUES(1,0,1);
INSERT INTO "article_tags" VALUES(1,1,2);
INSERT INTO "article_tags" VALUES(2,0,3);
INSERT INTO "article_tags" VALUES(2,1,4);
INSERT INTO "article_tags" VALUES(3,0,5);
INSERT INTO "article_tags" VALUES(4,0,6);
INSERT INTO "article_tags" VALUES(4,1,7);
INSERT INTO "article_tags" VALUES(4,2,5);
INSERT INTO "article_tags" VALUES(5,0,8);
INSERT INTO "article_tags" VALUES(6,0,9);
INSERT INTO "article_tags" VALUES(6,1,10);
INSERT INTO "article_tags" VALUES(6,2,8);
INSERT INTO "article_tags" VALUES(7,0,8);
INSERT INTO "article_tags" VALUES(7,1,10);
INSERT INTO "article_tags" VALUES(7,2,9);
INSERT INTO "article_tags" VALUES(8,0,7);
INSERT INTO "article_tags" VALUES(9,0,2);
INSERT INTO "article_tags" VALUES(9,1,11);
INSERT INTO "article_tags" VALUES(9,2,1);
INSERT INTO "article_tags" VALUES(10,0,12);
INSERT INTO "article_tags" VALUES(10,1,13);
INSERT INTO "article_tags" VALUES(10,2,14);
INSERT INTO "article_tags" VALUES(11,0,6);
INSERT INTO "article_tags" VALUES(11,1,7);
INSERT INTO "article_tags" VALUES(11,2,5);
INSERT INTO "article_tags" VALUES(12,0,2);
INSERT INTO "article_tags" VALUES(12,1,11);
INSERT INTO "article_tags" VALUES(13,0,5);
INSERT INTO "article_tags" VALUES(14,0,10);
INSERT INTO "article_tags" VALUES(15,0,11);
INSERT INTO "article_tags" VALUES(15,1,1);
INSERT INTO "article_tags" VALUES(16,0,14);
INSERT INTO "article_tags" VALUES(16,1,12);
INSERT INTO "article_tags" VALUES(16,2,13);
INSERT INTO "article_tags" VALUES(17,0,7);
INSERT INTO "article_tags" VALUES(17,1,6);
INSERT INTO "article_tags" VALUES(17,2,5);
INSERT INTO "article_tags" VALUES(18,0,9);
INSERT INTO "article_tags" VALUES(18,1,10);
INSERT INTO "article_tags" VALUES(19,0,4);
INSERT INTO "article_tags" VALUES(20,0,5);
INSERT INTO "article_tags" VALUES(20,1,6);
CREATE TABLE articles (
    -- Ascending with time and never reused: "newest first" is this key, descending.
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    author_id        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    slug             TEXT    NOT NULL, -- the current one; all others stand in slugs
    title            TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    favorites_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on favorites
    created_at       TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    updated_at       TEXT    NOT NULL,
    -- Last, because it is long: whoever reads the columns before it never touches its pages.
    body             TEXT    NOT NULL,

    CONSTRAINT articles_title_length         CHECK (length(title) BETWEEN 1 AND 255),
    CONSTRAINT articles_description_length   CHECK (length(description) BETWEEN 1 AND 1000),
    CONSTRAINT articles_body_length          CHECK (length(body) BETWEEN 1 AND 1000000),
    CONSTRAINT articles_favorites_count_sign CHECK (favorites_count >= 0),
    CONSTRAINT articles_created_at_format    CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT articles_updated_at_format    CHECK (updated_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT articles_updated_at_order     CHECK (updated_at >= created_at)
) STRICT;
INSERT INTO "articles" VALUES(1,4,'choosing-varnish-on-a-small-budget-4e005e68','Choosing varnish on a small budget','Dry the wood first.',4,'2026-01-05T07:32:00.000Z','2026-01-05T07:32:00.000Z','## Choosing varnish on a small budget

Epoxy forgives, varnish does not. Seven thin coats beat three thick ones, and every one of them shows the dust of the day.

Dry the wood first. Everything that goes wrong later goes wrong because somebody was in a hurry on the first day.');
INSERT INTO "articles" VALUES(2,3,'counting-without-counting-on-a-slow-disk-163089eb','Counting without counting on a slow disk','A query plan is a sentence.',0,'2026-01-05T09:59:00.000Z','2026-01-05T09:59:00.000Z','## Counting without counting on a slow disk

Let the database keep the counters. A trigger is four lines, and it never forgets.

We measured it twice, because the first figure was too good. It was the cache, of course.');
INSERT INTO "articles" VALUES(3,1,'soup-on-a-spirit-stove-with-too-much-luggage-51055a5c','Soup on a spirit stove with too much luggage','The first day everybody talks, the second nobody does, and on the third the river does.',0,'2026-01-05T12:30:00.000Z','2026-01-05T12:30:00.000Z','## Soup on a spirit stove with too much luggage

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.

Pack list: dry socks, rope, a tin of beans for each day, and one tin more for the lock-keeper.

We made **19 kilometres**, most of them in the right direction.

The first day everybody talks, the second nobody does, and on the third the river does.');
INSERT INTO "articles" VALUES(4,1,'upstream-with-too-much-luggage-c098a9e1','Upstream with too much luggage','The first day everybody talks, the second nobody does, and on the third the river does.',4,'2026-01-05T15:51:00.000Z','2026-01-05T15:51:00.000Z','## Upstream with too much luggage

Pack list: dry socks, rope, a tin of beans for each day, and one tin more for the lock-keeper.

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.

The first day everybody talks, the second nobody does, and on the third the river does.

We made **19 kilometres**, most of them in the right direction.');
INSERT INTO "articles" VALUES(5,1,'grebes-in-april-before-the-season-bd75c639','Grebes in April before the season','They build on whatever floats.',4,'2026-01-05T19:11:00.000Z','2026-01-05T19:11:00.000Z','## Grebes in April before the season

The list, in order of appearance:

- great crested grebe, two pairs
- coot, too many to count
- one kingfisher, *heard*

From a boat that drifts you see more in ten minutes than in an afternoon on the bank, as long as you keep the oars in.

The water is forty centimetres lower than last year. The old piles are showing, and so is the bicycle.

They build on whatever floats. This spring it was a plank, a bottle and half of somebody''s mooring line.');
INSERT INTO "articles" VALUES(6,2,'what-the-fog-hides-on-the-northern-shore-a98052e3','What the fog hides on the northern shore','They build on whatever floats.',2,'2026-01-05T21:55:00.000Z','2026-01-05T21:55:00.000Z','## What the fog hides on the northern shore

The list, in order of appearance:

- great crested grebe, two pairs
- coot, too many to count
- one kingfisher, *heard*

They build on whatever floats. This spring it was a plank, a bottle and half of somebody''s mooring line.

The water is forty centimetres lower than last year. The old piles are showing, and so is the bicycle.');
INSERT INTO "articles" VALUES(7,2,'low-water-year-after-year-67e9f2da','Low water year after year','They build on whatever floats.',2,'2026-01-06T00:39:00.000Z','2026-01-06T00:39:00.000Z','## Low water year after year

From a boat that drifts you see more in ten minutes than in an afternoon on the bank, as long as you keep the oars in.

The water is forty centimetres lower than last year. The old piles are showing, and so is the bicycle.

They build on whatever floats. This spring it was a plank, a bottle and half of somebody''s mooring line.');
INSERT INTO "articles" VALUES(8,1,'locks-and-lock-keepers-for-people-who-hate-tents-5254433c','Locks and lock-keepers for people who hate tents','The first day everybody talks, the second nobody does, and on the third the river does.',0,'2026-01-06T03:57:00.000Z','2026-01-06T03:57:00.000Z','## Locks and lock-keepers for people who hate tents

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.

We made **19 kilometres**, most of them in the right direction.

The first day everybody talks, the second nobody does, and on the third the river does.');
INSERT INTO "articles" VALUES(9,1,'the-leak-that-stayed-the-slow-way-558bad1b','The leak that stayed the slow way','Dry the wood first.',3,'2026-01-06T07:28:00.000Z','2026-01-06T07:28:00.000Z','## The leak that stayed the slow way

Epoxy forgives, varnish does not. Seven thin coats beat three thick ones, and every one of them shows the dust of the day.

You need a plane, two clamps and a kettle:

1. scarf the plank at eight to one
2. steam it for an hour per inch
3. have everything ready *before* you open the box

Dry the wood first. Everything that goes wrong later goes wrong because somebody was in a hurry on the first day.

I weighed the boat before and after: `31.4 kg` became `31.9 kg`, most of it pride.');
INSERT INTO "articles" VALUES(10,2,'feathering-without-fear-in-a-headwind-147b04d7','Feathering without fear in a headwind','The blade goes in when the boat asks for it, not when the arms are ready.',0,'2026-01-06T11:04:00.000Z','2026-01-06T11:04:00.000Z','## Feathering without fear in a headwind

A light grip is the whole secret. If your forearms burn after a kilometre, you are holding on to a handrail.

> Sit tall, breathe out at the finish, and let the boat run.

Most of what looks like strength is timing. Put a mark on the oar, film ten strokes, and look only at the mark.

The blade goes in when the boat asks for it, not when the arms are ready. Count the bubbles: a clean catch leaves **almost none**.');
INSERT INTO "articles" VALUES(11,2,'three-days-downstream-with-too-much-luggage-2623735c','Three days downstream with too much luggage','The first day everybody talks, the second nobody does, and on the third the river does.',0,'2026-01-06T14:15:00.000Z','2026-01-06T14:15:00.000Z','## Three days downstream with too much luggage

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.

The first day everybody talks, the second nobody does, and on the third the river does.

We made **19 kilometres**, most of them in the right direction.

Pack list: dry socks, rope, a tin of beans for each day, and one tin more for the lock-keeper.');
INSERT INTO "articles" VALUES(12,7,'repairing-a-cedar-hull-in-three-evenings-f603eda7','Repairing a cedar hull in three evenings','Dry the wood first.',3,'2026-01-06T15:46:00.000Z','2026-01-06T15:46:00.000Z','## Repairing a cedar hull in three evenings

I weighed the boat before and after: `31.4 kg` became `31.9 kg`, most of it pride.

You need a plane, two clamps and a kettle:

1. scarf the plank at eight to one
2. steam it for an hour per inch
3. have everything ready *before* you open the box

Dry the wood first. Everything that goes wrong later goes wrong because somebody was in a hurry on the first day.');
INSERT INTO "articles" VALUES(13,3,'upstream-and-back-by-train-690c27b5','Upstream and back by train','The first day everybody talks, the second nobody does, and on the third the river does.',4,'2026-01-06T18:56:00.000Z','2026-01-06T18:56:00.000Z','## Upstream and back by train

The first day everybody talks, the second nobody does, and on the third the river does.

Pack list: dry socks, rope, a tin of beans for each day, and one tin more for the lock-keeper.

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.

We made **19 kilometres**, most of them in the right direction.');
INSERT INTO "articles" VALUES(14,6,'a-heron-keeps-office-hours-before-the-season-1b3beda1','A heron keeps office hours before the season','They build on whatever floats.',2,'2026-01-06T23:23:00.000Z','2026-01-06T23:23:00.000Z','## A heron keeps office hours before the season

The list, in order of appearance:

- great crested grebe, two pairs
- coot, too many to count
- one kingfisher, *heard*

From a boat that drifts you see more in ten minutes than in an afternoon on the bank, as long as you keep the oars in.

The water is forty centimetres lower than last year. The old piles are showing, and so is the bicycle.

They build on whatever floats. This spring it was a plank, a bottle and half of somebody''s mooring line.');
INSERT INTO "articles" VALUES(15,2,'repairing-a-cedar-hull-on-a-small-budget-3f0d6118','Repairing a cedar hull on a small budget','Dry the wood first.',0,'2026-01-07T01:04:00.000Z','2026-01-07T01:04:00.000Z','## Repairing a cedar hull on a small budget

I weighed the boat before and after: `31.4 kg` became `31.9 kg`, most of it pride.

Dry the wood first. Everything that goes wrong later goes wrong because somebody was in a hurry on the first day.

Epoxy forgives, varnish does not. Seven thin coats beat three thick ones, and every one of them shows the dust of the day.

You need a plane, two clamps and a kettle:

1. scarf the plank at eight to one
2. steam it for an hour per inch
3. have everything ready *before* you open the box');
INSERT INTO "articles" VALUES(16,2,'one-hour-one-blade-with-a-borrowed-boat-84464471','One hour, one blade with a borrowed boat','The blade goes in when the boat asks for it, not when the arms are ready.',2,'2026-01-07T04:49:00.000Z','2026-01-07T04:49:00.000Z','## One hour, one blade with a borrowed boat

A light grip is the whole secret. If your forearms burn after a kilometre, you are holding on to a handrail.

Most of what looks like strength is timing. Put a mark on the oar, film ten strokes, and look only at the mark.

The blade goes in when the boat asks for it, not when the arms are ready. Count the bubbles: a clean catch leaves **almost none**.

> Sit tall, breathe out at the finish, and let the boat run.');
INSERT INTO "articles" VALUES(17,3,'locks-and-lock-keepers-on-the-havel-bf9e15cf','Locks and lock-keepers on the Havel','The first day everybody talks, the second nobody does, and on the third the river does.',0,'2026-01-07T07:29:00.000Z','2026-01-07T07:29:00.000Z','## Locks and lock-keepers on the Havel

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.

We made **19 kilometres**, most of them in the right direction.');
INSERT INTO "articles" VALUES(18,1,'low-water-on-the-northern-shore-d807ef4e','Low water on the northern shore','They build on whatever floats.',4,'2026-01-07T10:16:00.000Z','2026-01-07T10:16:00.000Z','## Low water on the northern shore

The list, in order of appearance:

- great crested grebe, two pairs
- coot, too many to count
- one kingfisher, *heard*

They build on whatever floats. This spring it was a plank, a bottle and half of somebody''s mooring line.

The water is forty centimetres lower than last year. The old piles are showing, and so is the bicycle.');
INSERT INTO "articles" VALUES(19,1,'one-file-many-readers-on-a-slow-disk-766f945e','One file, many readers on a slow disk','A query plan is a sentence.',3,'2026-01-07T12:50:00.000Z','2026-01-07T12:50:00.000Z','## One file, many readers on a slow disk

A query plan is a sentence. Read it aloud: *search articles using the index on author* is a fine one, *scan articles* is a shipwreck in slow motion.

We measured it twice, because the first figure was too good. It was the cache, of course.

```sql
SELECT title
  FROM articles
 WHERE author_id = :me
 ORDER BY id DESC
 LIMIT 20;
```

The order costs nothing here: the index ends in the row''s id.

Let the database keep the counters. A trigger is four lines, and it never forgets.');
INSERT INTO "articles" VALUES(20,7,'three-days-downstream-on-the-havel-23114268','Three days downstream on the Havel','The first day everybody talks, the second nobody does, and on the third the river does.',0,'2026-01-07T17:10:00.000Z','2026-01-07T17:10:00.000Z','## Three days downstream on the Havel

The first day everybody talks, the second nobody does, and on the third the river does.

Pack list: dry socks, rope, a tin of beans for each day, and one tin more for the lock-keeper.

There is a bakery behind the second lock. It opens at six. Plan the whole trip around this.');
CREATE TABLE comments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- clients name a comment by it: never reused
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    author_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    body        TEXT    NOT NULL,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT comments_body_length       CHECK (length(body) BETWEEN 1 AND 65536),
    CONSTRAINT comments_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;
INSERT INTO "comments" VALUES(1,3,3,'Which lake is this?','2026-01-06T06:03:00.000Z');
INSERT INTO "comments" VALUES(2,3,2,'Lovely. Would you write about the return trip as well?','2026-01-08T16:18:00.000Z');
INSERT INTO "comments" VALUES(3,5,7,'Saved this for the winter.','2026-01-07T18:03:00.000Z');
INSERT INTO "comments" VALUES(4,5,1,'My grandfather did it exactly so, and he was always right, **he said**.','2026-01-09T19:10:00.000Z');
INSERT INTO "comments" VALUES(5,5,4,'How long did the varnish take to dry?','2026-01-11T22:27:00.000Z');
INSERT INTO "comments" VALUES(6,5,2,'I disagree with the second point, but I would row with you any day.','2026-01-12T03:46:00.000Z');
INSERT INTO "comments" VALUES(7,5,1,'I tried this on Sunday. It works, and my back agrees.','2026-01-15T23:37:00.000Z');
INSERT INTO "comments" VALUES(8,5,4,'Which lake is this?','2026-01-19T16:11:00.000Z');
INSERT INTO "comments" VALUES(9,6,5,'Which lake is this?','2026-01-07T12:47:00.000Z');
INSERT INTO "comments" VALUES(10,6,8,'The picture in my head is better than any photograph.','2026-01-09T21:13:00.000Z');
INSERT INTO "comments" VALUES(11,6,6,'How long did the varnish take to dry?','2026-01-15T02:47:00.000Z');
INSERT INTO "comments" VALUES(12,6,3,'Which lake is this?','2026-01-16T01:08:00.000Z');
INSERT INTO "comments" VALUES(13,6,5,'I disagree with the second point, but I would row with you any day.','2026-01-16T04:39:00.000Z');
INSERT INTO "comments" VALUES(14,6,8,'The picture in my head is better than any photograph.','2026-01-19T17:37:00.000Z');
INSERT INTO "comments" VALUES(15,8,7,'Lovely. Would you write about the return trip as well?','2026-01-08T11:53:00.000Z');
INSERT INTO "comments" VALUES(16,8,2,'I tried this on Sunday. It works, and my back agrees.','2026-01-09T04:44:00.000Z');
INSERT INTO "comments" VALUES(17,8,2,'I disagree with the second point, but I would row with you any day.','2026-01-10T10:13:00.000Z');
INSERT INTO "comments" VALUES(18,8,4,'I tried this on Sunday. It works, and my back agrees.','2026-01-11T00:12:00.000Z');
INSERT INTO "comments" VALUES(19,8,2,'Saved this for the winter.','2026-01-15T02:26:00.000Z');
INSERT INTO "comments" VALUES(20,8,7,'Lovely. Would you write about the return trip as well?','2026-01-15T03:53:00.000Z');
INSERT INTO "comments" VALUES(21,8,3,'Saved this for the winter.','2026-01-15T04:41:00.000Z');
INSERT INTO "comments" VALUES(22,8,4,'Which lake is this?','2026-01-16T21:02:00.000Z');
INSERT INTO "comments" VALUES(23,8,8,'I disagree with the second point, but I would row with you any day.','2026-01-17T16:51:00.000Z');
INSERT INTO "comments" VALUES(24,9,8,'I disagree with the second point, but I would row with you any day.','2026-01-07T01:31:00.000Z');
INSERT INTO "comments" VALUES(25,9,5,'I disagree with the second point, but I would row with you any day.','2026-01-08T06:36:00.000Z');
INSERT INTO "comments" VALUES(26,9,8,'Which lake is this?','2026-01-09T16:30:00.000Z');
INSERT INTO "comments" VALUES(27,9,8,'Saved this for the winter.','2026-01-10T00:53:00.000Z');
INSERT INTO "comments" VALUES(28,9,3,'Saved this for the winter.','2026-01-11T18:12:00.000Z');
INSERT INTO "comments" VALUES(29,9,8,'The picture in my head is better than any photograph.','2026-01-13T06:48:00.000Z');
INSERT INTO "comments" VALUES(30,9,1,'I disagree with the second point, but I would row with you any day.','2026-01-14T13:27:00.000Z');
INSERT INTO "comments" VALUES(31,9,8,'Saved this for the winter.','2026-01-15T03:46:00.000Z');
INSERT INTO "comments" VALUES(32,9,2,'How long did the varnish take to dry?','2026-01-17T03:51:00.000Z');
INSERT INTO "comments" VALUES(33,11,1,'I tried this on Sunday. It works, and my back agrees.','2026-01-10T21:34:00.000Z');
INSERT INTO "comments" VALUES(34,11,1,'I disagree with the second point, but I would row with you any day.','2026-01-13T19:33:00.000Z');
INSERT INTO "comments" VALUES(35,18,3,'I tried this on Sunday. It works, and my back agrees.','2026-01-10T12:56:00.000Z');
INSERT INTO "comments" VALUES(36,18,5,'The picture in my head is better than any photograph.','2026-01-11T10:08:00.000Z');
INSERT INTO "comments" VALUES(37,18,7,'Saved this for the winter.','2026-01-13T20:55:00.000Z');
INSERT INTO "comments" VALUES(38,18,3,'I disagree with the second point, but I would row with you any day.','2026-01-16T15:56:00.000Z');
INSERT INTO "comments" VALUES(39,18,4,'Saved this for the winter.','2026-01-16T22:20:00.000Z');
INSERT INTO "comments" VALUES(40,18,5,'The picture in my head is better than any photograph.','2026-01-19T00:58:00.000Z');
INSERT INTO "comments" VALUES(41,19,4,'My grandfather did it exactly so, and he was always right, **he said**.','2026-01-09T17:37:00.000Z');
INSERT INTO "comments" VALUES(42,19,1,'Lovely. Would you write about the return trip as well?','2026-01-15T16:57:00.000Z');
INSERT INTO "comments" VALUES(43,20,5,'Saved this for the winter.','2026-01-09T05:11:00.000Z');
INSERT INTO "comments" VALUES(44,20,7,'I disagree with the second point, but I would row with you any day.','2026-01-10T06:22:00.000Z');
INSERT INTO "comments" VALUES(45,20,2,'The picture in my head is better than any photograph.','2026-01-10T13:48:00.000Z');
INSERT INTO "comments" VALUES(46,20,7,'The picture in my head is better than any photograph.','2026-01-10T21:46:00.000Z');
INSERT INTO "comments" VALUES(47,20,3,'Which lake is this?','2026-01-12T03:21:00.000Z');
INSERT INTO "comments" VALUES(48,20,4,'Which lake is this?','2026-01-12T11:07:00.000Z');
INSERT INTO "comments" VALUES(49,20,2,'I disagree with the second point, but I would row with you any day.','2026-01-14T22:23:00.000Z');
INSERT INTO "comments" VALUES(50,20,8,'How long did the varnish take to dry?','2026-01-15T09:55:00.000Z');
INSERT INTO "comments" VALUES(51,20,6,'The picture in my head is better than any photograph.','2026-01-15T20:57:00.000Z');
INSERT INTO "comments" VALUES(52,20,5,'How long did the varnish take to dry?','2026-01-17T02:17:00.000Z');
INSERT INTO "comments" VALUES(53,20,6,'Lovely. Would you write about the return trip as well?','2026-01-17T15:56:00.000Z');
CREATE TABLE favorites (
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    -- Answers "what does she like", in order of id (sql/articles/find.sql),
    -- and "does she like this one" (every article that is shown).
    PRIMARY KEY (user_id, article_id),

    CONSTRAINT favorites_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;
INSERT INTO "favorites" VALUES(1,9,'2026-01-07T05:11:00.000Z');
INSERT INTO "favorites" VALUES(1,12,'2026-01-20T05:27:00.000Z');
INSERT INTO "favorites" VALUES(1,13,'2026-01-14T17:07:00.000Z');
INSERT INTO "favorites" VALUES(1,19,'2026-01-18T08:52:00.000Z');
INSERT INTO "favorites" VALUES(2,1,'2026-01-08T09:55:00.000Z');
INSERT INTO "favorites" VALUES(2,4,'2026-01-07T12:21:00.000Z');
INSERT INTO "favorites" VALUES(2,6,'2026-01-11T08:25:00.000Z');
INSERT INTO "favorites" VALUES(2,7,'2026-01-15T05:37:00.000Z');
INSERT INTO "favorites" VALUES(2,14,'2026-01-10T10:59:00.000Z');
INSERT INTO "favorites" VALUES(3,1,'2026-01-06T17:57:00.000Z');
INSERT INTO "favorites" VALUES(3,5,'2026-01-07T17:52:00.000Z');
INSERT INTO "favorites" VALUES(3,7,'2026-01-11T03:48:00.000Z');
INSERT INTO "favorites" VALUES(3,12,'2026-01-12T10:38:00.000Z');
INSERT INTO "favorites" VALUES(3,13,'2026-01-19T00:49:00.000Z');
INSERT INTO "favorites" VALUES(3,14,'2026-01-10T16:40:00.000Z');
INSERT INTO "favorites" VALUES(4,1,'2026-01-12T01:56:00.000Z');
INSERT INTO "favorites" VALUES(4,4,'2026-01-17T00:49:00.000Z');
INSERT INTO "favorites" VALUES(4,19,'2026-01-19T05:40:00.000Z');
INSERT INTO "favorites" VALUES(5,5,'2026-01-16T06:08:00.000Z');
INSERT INTO "favorites" VALUES(5,16,'2026-01-14T10:17:00.000Z');
INSERT INTO "favorites" VALUES(5,18,'2026-01-16T11:42:00.000Z');
INSERT INTO "favorites" VALUES(6,4,'2026-01-08T00:43:00.000Z');
INSERT INTO "favorites" VALUES(6,9,'2026-01-16T05:55:00.000Z');
INSERT INTO "favorites" VALUES(6,12,'2026-01-18T17:16:00.000Z');
INSERT INTO "favorites" VALUES(6,18,'2026-01-10T07:15:00.000Z');
INSERT INTO "favorites" VALUES(7,5,'2026-01-19T00:28:00.000Z');
INSERT INTO "favorites" VALUES(7,9,'2026-01-17T14:57:00.000Z');
INSERT INTO "favorites" VALUES(7,13,'2026-01-17T22:35:00.000Z');
INSERT INTO "favorites" VALUES(7,18,'2026-01-12T10:15:00.000Z');
INSERT INTO "favorites" VALUES(8,1,'2026-01-15T06:17:00.000Z');
INSERT INTO "favorites" VALUES(8,4,'2026-01-09T00:12:00.000Z');
INSERT INTO "favorites" VALUES(8,5,'2026-01-18T18:06:00.000Z');
INSERT INTO "favorites" VALUES(8,6,'2026-01-09T03:54:00.000Z');
INSERT INTO "favorites" VALUES(8,13,'2026-01-13T19:10:00.000Z');
INSERT INTO "favorites" VALUES(8,16,'2026-01-14T08:06:00.000Z');
INSERT INTO "favorites" VALUES(8,18,'2026-01-11T21:03:00.000Z');
INSERT INTO "favorites" VALUES(8,19,'2026-01-10T06:13:00.000Z');
CREATE TABLE follows (
    follower_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    followed_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    -- In this order the key answers both "whom does she follow" (sql/articles/feed.sql)
    -- and "does she follow him" (every author that is shown).
    PRIMARY KEY (follower_id, followed_id),

    CONSTRAINT follows_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;
INSERT INTO "follows" VALUES(1,5,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(1,6,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(1,7,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(3,3,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(3,4,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(3,6,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(3,8,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(5,1,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(7,2,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(7,6,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(7,7,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(7,8,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,1,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,2,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,3,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,4,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,5,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,6,'2026-01-05T06:30:00.000Z');
INSERT INTO "follows" VALUES(8,7,'2026-01-05T06:30:00.000Z');
CREATE TABLE schema_migrations (
    version     INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,
    checksum    TEXT    NOT NULL, -- SHA-256 of the script
    applied_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    ms          INTEGER NOT NULL  -- how long it took
) STRICT
;
INSERT INTO "schema_migrations" VALUES(1,'users','04c21219159584ffcb4e67fbc8380b4fc7d92f18d53f4e6430c847b1bf5872ac','2026-11-21T04:28:28.871Z',1);
INSERT INTO "schema_migrations" VALUES(2,'sessions','2646b3e8b1c3d2c399cc2015c8ef8e9033dc9f6a1888710a9be98ff8aba3e12e','2026-11-21T04:28:28.873Z',0);
INSERT INTO "schema_migrations" VALUES(3,'follows','9434234b2053aa842784d0107a49376a137b96003e9af831bfd00db5a5d06c34','2026-11-21T04:28:28.874Z',0);
INSERT INTO "schema_migrations" VALUES(4,'articles','283db2814c4ad70dde24dbab38647d5f694d9aa55e0457ea8104754843c7955c','2026-11-21T04:28:28.875Z',1);
INSERT INTO "schema_migrations" VALUES(5,'tags','e12a336ecbc942d65cf0c6994a3ce42dfd3a1140758875fd2a6538cf14c7f65b','2026-11-21T04:28:28.876Z',0);
INSERT INTO "schema_migrations" VALUES(6,'favorites','ce8887df90e19e7e000cb9a784b705cbbccbb5d4ba4cb75c85ba47328e22bd46','2026-11-21T04:28:28.877Z',0);
INSERT INTO "schema_migrations" VALUES(7,'comments','6c9a50f2f0ee0c4c9935bbf409f6e050fc90bc01401831d81e1a4dd66adcce69','2026-11-21T04:28:28.877Z',0);
INSERT INTO "schema_migrations" VALUES(8,'search','18bb7fb65f1b46c29760e1562460f3357e69c87324caae4b7ad8e8d77dd24479','2026-11-21T04:28:28.879Z',1);
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: clients name a session by it
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the token in hexadecimal. Whoever reads the database learns no token.
    token_hash    TEXT    NOT NULL,
    created_at    TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    last_used_at  TEXT    NOT NULL, -- at most an hour old: it is not written on every request

    -- For sql/sessions/find.sql, which runs once in every request that carries a token.
    UNIQUE (token_hash),

    CONSTRAINT sessions_token_hash_format   CHECK (length(token_hash) = 64),
    CONSTRAINT sessions_created_at_format   CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT sessions_last_used_at_format CHECK (last_used_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;
CREATE TABLE slugs (
    slug        TEXT    NOT NULL PRIMARY KEY,
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,

    -- GET /articles/feed is another route.
    CONSTRAINT slugs_slug_reserved CHECK (slug <> 'feed')
) STRICT, WITHOUT ROWID;
INSERT INTO "slugs" VALUES('choosing-varnish-on-a-small-budget-4e005e68',1);
INSERT INTO "slugs" VALUES('counting-without-counting-on-a-slow-disk-163089eb',2);
INSERT INTO "slugs" VALUES('soup-on-a-spirit-stove-with-too-much-luggage-51055a5c',3);
INSERT INTO "slugs" VALUES('upstream-with-too-much-luggage-c098a9e1',4);
INSERT INTO "slugs" VALUES('grebes-in-april-before-the-season-bd75c639',5);
INSERT INTO "slugs" VALUES('what-the-fog-hides-on-the-northern-shore-a98052e3',6);
INSERT INTO "slugs" VALUES('low-water-year-after-year-67e9f2da',7);
INSERT INTO "slugs" VALUES('locks-and-lock-keepers-for-people-who-hate-tents-5254433c',8);
INSERT INTO "slugs" VALUES('the-leak-that-stayed-the-slow-way-558bad1b',9);
INSERT INTO "slugs" VALUES('feathering-without-fear-in-a-headwind-147b04d7',10);
INSERT INTO "slugs" VALUES('three-days-downstream-with-too-much-luggage-2623735c',11);
INSERT INTO "slugs" VALUES('repairing-a-cedar-hull-in-three-evenings-f603eda7',12);
INSERT INTO "slugs" VALUES('upstream-and-back-by-train-690c27b5',13);
INSERT INTO "slugs" VALUES('a-heron-keeps-office-hours-before-the-season-1b3beda1',14);
INSERT INTO "slugs" VALUES('repairing-a-cedar-hull-on-a-small-budget-3f0d6118',15);
INSERT INTO "slugs" VALUES('one-hour-one-blade-with-a-borrowed-boat-84464471',16);
INSERT INTO "slugs" VALUES('locks-and-lock-keepers-on-the-havel-bf9e15cf',17);
INSERT INTO "slugs" VALUES('low-water-on-the-northern-shore-d807ef4e',18);
INSERT INTO "slugs" VALUES('one-file-many-readers-on-a-slow-disk-766f945e',19);
INSERT INTO "slugs" VALUES('three-days-downstream-on-the-havel-23114268',20);
CREATE TABLE tags (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL,
    articles_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on article_tags

    UNIQUE (name),

    CONSTRAINT tags_name_length         CHECK (length(name) BETWEEN 1 AND 64),
    CONSTRAINT tags_articles_count_sign CHECK (articles_count >= 0)
) STRICT;
INSERT INTO "tags" VALUES(1,'repair',3);
INSERT INTO "tags" VALUES(2,'boats',3);
INSERT INTO "tags" VALUES(3,'software',1);
INSERT INTO "tags" VALUES(4,'sqlite',2);
INSERT INTO "tags" VALUES(5,'rivers',6);
INSERT INTO "tags" VALUES(6,'food',4);
INSERT INTO "tags" VALUES(7,'travel',4);
INSERT INTO "tags" VALUES(8,'lakes',3);
INSERT INTO "tags" VALUES(9,'birds',3);
INSERT INTO "tags" VALUES(10,'nature',4);
INSERT INTO "tags" VALUES(11,'woodwork',3);
INSERT INTO "tags" VALUES(12,'technique',2);
INSERT INTO "tags" VALUES(13,'beginners',2);
INSERT INTO "tags" VALUES(14,'rowing',2);
CREATE TABLE totals (
    name   TEXT    NOT NULL PRIMARY KEY,
    total  INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT totals_total_sign CHECK (total >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO "totals" VALUES('articles',20);
CREATE TABLE users (
    -- Logs and audits name people by id, so an id is never given twice.
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    username         TEXT    NOT NULL, -- as it was given
    username_key     TEXT    NOT NULL, -- folded: "Ann", "ANN" and "ａｎｎ" are one name
    email            TEXT    NOT NULL, -- as it was given
    email_key        TEXT    NOT NULL, -- folded likewise
    password_hash    TEXT    NOT NULL, -- Argon2id in PHC format, its parameters included
    bio              TEXT,
    image            TEXT,             -- any text: clients decide how to show it
    articles_count   INTEGER NOT NULL DEFAULT 0, -- kept by triggers on articles
    favorites_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on favorites
    created_at       TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    updated_at       TEXT    NOT NULL,

    -- Names and addresses are looked up by their keys alone.
    UNIQUE (username_key),
    UNIQUE (email_key),

    CONSTRAINT users_username_length      CHECK (length(username) BETWEEN 1 AND 64),
    CONSTRAINT users_email_length         CHECK (length(email) BETWEEN 3 AND 254),
    CONSTRAINT users_bio_length           CHECK (length(bio) <= 5000),
    CONSTRAINT users_image_length         CHECK (length(image) <= 65536),
    CONSTRAINT users_articles_count_sign  CHECK (articles_count >= 0),
    CONSTRAINT users_favorites_count_sign CHECK (favorites_count >= 0),
    CONSTRAINT users_created_at_format    CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT users_updated_at_format    CHECK (updated_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;
INSERT INTO "users" VALUES(1,'ada','ada','ada@example.org','ada@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o',NULL,NULL,7,4,'2026-01-04T22:30:00.000Z','2026-01-04T22:30:00.000Z');
INSERT INTO "users" VALUES(2,'bela','bela','bela@example.org','bela@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','Rows before breakfast, writes after it.',NULL,6,5,'2026-01-04T23:30:00.000Z','2026-01-04T23:30:00.000Z');
INSERT INTO "users" VALUES(3,'clara','clara','clara@example.org','clara@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','I measure things twice and still cut them wrong.',NULL,3,6,'2026-01-05T00:30:00.000Z','2026-01-05T00:30:00.000Z');
INSERT INTO "users" VALUES(4,'dario','dario','dario@example.org','dario@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','Rows before breakfast, writes after it.',NULL,1,3,'2026-01-05T01:30:00.000Z','2026-01-05T01:30:00.000Z');
INSERT INTO "users" VALUES(5,'elif','elif','elif@example.org','elif@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','Boatbuilder, mostly retired. *Mostly.*',NULL,0,3,'2026-01-05T02:30:00.000Z','2026-01-05T02:30:00.000Z');
INSERT INTO "users" VALUES(6,'farid','farid','farid@example.org','farid@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','Teaches people to sit still in narrow boats.',NULL,1,4,'2026-01-05T03:30:00.000Z','2026-01-05T03:30:00.000Z');
INSERT INTO "users" VALUES(7,'greta','greta','greta@example.org','greta@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','Teaches people to sit still in narrow boats.',NULL,2,4,'2026-01-05T04:30:00.000Z','2026-01-05T04:30:00.000Z');
INSERT INTO "users" VALUES(8,'hugo','hugo','hugo@example.org','hugo@example.org','$argon2id$v=19$m=19456,t=2,p=1$qt3LUHo5IwjwfBHOLdN2ZQ$DP6ZJqnv1I4zTh1LWwuDrzooMGDLtdazv/JxCIgdf8o','Keeps a logbook of a small lake, and of most birds on it.',NULL,0,8,'2026-01-05T05:30:00.000Z','2026-01-05T05:30:00.000Z');
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX follows_followed_id_idx ON follows (followed_id);
CREATE INDEX articles_author_id_idx ON articles (author_id);
CREATE INDEX slugs_article_id_idx ON slugs (article_id);
CREATE TRIGGER articles_after_insert_slug AFTER INSERT ON articles
BEGIN
    INSERT INTO slugs (slug, article_id)
    VALUES (NEW.slug, NEW.id);
END;
CREATE TRIGGER articles_after_update_slug AFTER UPDATE OF slug ON articles
BEGIN
    -- An article may return to a slug of its own; the slug of another one fails here.
    INSERT INTO slugs (slug, article_id)
    SELECT NEW.slug, NEW.id
     WHERE NOT EXISTS (SELECT 1 FROM slugs WHERE slug = NEW.slug AND article_id = NEW.id);
END;
CREATE TRIGGER articles_after_insert_count AFTER INSERT ON articles
BEGIN
    UPDATE totals SET total = total + 1 WHERE name = 'articles';
    UPDATE users SET articles_count = articles_count + 1 WHERE id = NEW.author_id;
END;
CREATE TRIGGER articles_after_delete_count AFTER DELETE ON articles
BEGIN
    UPDATE totals SET total = total - 1 WHERE name = 'articles';
    UPDATE users SET articles_count = articles_count - 1 WHERE id = OLD.author_id;
END;
CREATE INDEX tags_articles_count_idx ON tags (articles_count);
CREATE TRIGGER article_tags_after_insert_count AFTER INSERT ON article_tags
BEGIN
    UPDATE tags SET articles_count = articles_count + 1 WHERE id = NEW.tag_id;
END;
CREATE TRIGGER article_tags_after_delete_count AFTER DELETE ON article_tags
BEGIN
    UPDATE tags SET articles_count = articles_count - 1 WHERE id = OLD.tag_id;
END;
CREATE INDEX favorites_article_id_idx ON favorites (article_id);
CREATE TRIGGER favorites_after_insert_count AFTER INSERT ON favorites
BEGIN
    UPDATE articles SET favorites_count = favorites_count + 1 WHERE id = NEW.article_id;
    UPDATE users SET favorites_count = favorites_count + 1 WHERE id = NEW.user_id;
END;
CREATE TRIGGER favorites_after_delete_count AFTER DELETE ON favorites
BEGIN
    UPDATE articles SET favorites_count = favorites_count - 1 WHERE id = OLD.article_id;
    UPDATE users SET favorites_count = favorites_count - 1 WHERE id = OLD.user_id;
END;
CREATE INDEX comments_article_id_idx ON comments (article_id);
CREATE INDEX comments_author_id_idx ON comments (author_id);
CREATE TRIGGER articles_after_insert_search AFTER INSERT ON articles
BEGIN
    INSERT INTO article_search (rowid, title, description, body)
    VALUES (NEW.id, NEW.title, NEW.description, NEW.body);
END;
CREATE TRIGGER articles_after_delete_search AFTER DELETE ON articles
BEGIN
    INSERT INTO article_search (article_search, rowid, title, description, body)
    VALUES ('delete', OLD.id, OLD.title, OLD.description, OLD.body);
END;
CREATE TRIGGER articles_after_update_search AFTER UPDATE OF title, description, body ON articles
    WHEN (OLD.title, OLD.description, OLD.body) IS NOT (NEW.title, NEW.description, NEW.body)
BEGIN
    INSERT INTO article_search (article_search, rowid, title, description, body)
    VALUES ('delete', OLD.id, OLD.title, OLD.description, OLD.body);
    INSERT INTO article_search (rowid, title, description, body)
    VALUES (NEW.id, NEW.title, NEW.description, NEW.body);
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('users',8);
INSERT INTO "sqlite_sequence" VALUES('articles',20);
INSERT INTO "sqlite_sequence" VALUES('comments',53);
CREATE VIRTUAL TABLE article_search USING fts5 (
    title,
    description,
    body,
    content = 'articles',
    content_rowid = 'id',
    -- "Café" is found as "cafe".
    tokenize = "unicode61 remove_diacritics 2",
    -- The beginnings of words are looked up like words.
    prefix = '2 3'
);
INSERT INTO article_search (article_search) VALUES ('rebuild');
COMMIT;
