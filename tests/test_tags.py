def test_the_most_used_tag_comes_first(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.writes("Rowing at dawn", "mist", "river", "dawn")
    bob.writes("Rowing at dusk", "river", "dusk", "mist")
    ann.writes("Rowing on", "river")

    assert api.tags() == ["river", "mist", "dusk", "dawn"]


def test_of_equally_used_tags_the_newest_comes_first(api):
    ann = api.someone("ann")

    ann.writes("Rowing at dawn", "one", "two")
    ann.writes("Rowing at dusk", "three")

    assert api.tags() == ["three", "two", "one"]


def test_only_tags_in_use_are_shown(api):
    ann = api.someone("ann")
    dawn = ann.writes("Rowing at dawn", "river", "dawn")
    dusk = ann.writes("Rowing at dusk", "river", "dusk")

    ann.edits(dawn, tagList=["river"])
    ann.deletes(dusk)

    assert api.tags() == ["river"]


def test_without_articles_there_are_no_tags(api):
    assert api.tags() == []


def test_a_tag_counts_what_bears_it_now(api):
    ann = api.someone("ann")
    slugs = [ann.writes("Rowing", "river", "boat") for _ in range(3)]

    ann.edits(slugs[0], tagList=["boat"])
    ann.edits(slugs[1], tagList=["river", "lake", "boat"])
    ann.edits(slugs[2], title="Racing")

    assert api.tags() == ["boat", "river", "lake"]


def test_a_tag_can_come_back(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "river")
    ann.edits(slug, tagList=[])

    ann.edits(slug, tagList=["river"])

    assert api.tags() == ["river"]
    assert api.titles(tag="river") == ["Rowing at dawn"]


def test_a_tag_given_twice_in_one_article_counts_once(api):
    ann = api.someone("ann")

    ann.writes("Rowing at dawn", "mist", "mist", "mist")
    ann.writes("Rowing at dusk", "river")
    ann.writes("Rowing on", "river")

    assert api.tags() == ["river", "mist"]


def test_a_refused_article_leaves_no_tags(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn", "river")

    bob.refusal(403, "PUT", f"/articles/{slug}", {"article": {"tagList": ["mine"]}})
    ann.refusal(422, "POST", "/articles", {"article": {"title": "", "tagList": ["blank"]}})

    assert api.tags() == ["river"]


def test_the_first_thousand_tags_are_shown(api):
    ann = api.someone("ann")
    names = [str(number) for number in range(1001)]
    for begin in range(0, len(names), 50):
        ann.writes("Rowing", *names[begin : begin + 50])
    ann.writes("Rowing on", "0", "500")

    tags = api.tags()

    # The two in use twice, then the newest; the oldest of all others is one too many.
    assert tags == ["500", "0"] + [name for name in reversed(names) if name not in ("0", "500", "1")]


def test_tags_ask_for_no_token_and_ignore_one(api):
    api.someone("ann").writes("Rowing at dawn", "river")

    answer = api.get("/tags?limit=0&cursor=x", headers={"Authorization": "Token wrong"})

    assert answer.json == {"tags": ["river"]}
