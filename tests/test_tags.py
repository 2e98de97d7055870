def test_the_most_used_tag_comes_first_and_of_equally_used_ones_the_newest(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.writes("Rowing at dawn", "mist", "river", "dawn")
    bob.writes("Rowing at dusk", "river", "dusk", "mist")
    ann.writes("Rowing on", "river")

    assert api.tags() == ["river", "mist", "dusk", "dawn"]


def test_a_tag_is_listed_while_an_article_has_it(api):
    ann = api.someone("ann")
    assert api.tags() == []
    dawn = ann.writes("Rowing at dawn", "river", "dawn")
    dusk = ann.writes("Rowing at dusk", "river", "dusk")

    ann.edits(dawn, tagList=["river"])
    ann.deletes(dusk)
    assert api.tags() == ["river"]

    ann.edits(dawn, tagList=["river", "dawn"])
    assert api.tags() == ["dawn", "river"]
    assert api.titles(tag="dawn") == ["Rowing at dawn"]


def test_tags_are_counted_as_articles_have_them_now(api):
    ann = api.someone("ann")
    slugs = [ann.writes("Rowing", "river", "boat") for _ in range(3)]

    ann.edits(slugs[0], tagList=["boat"])
    ann.edits(slugs[1], tagList=["river", "lake", "boat"])
    ann.edits(slugs[2], title="Racing")

    assert api.tags() == ["boat", "river", "lake"]


def test_at_most_1000_tags_are_listed(api):
    ann = api.someone("ann")
    names = [str(number) for number in range(1001)]
    for begin in range(0, len(names), 50):
        ann.writes("Rowing", *names[begin : begin + 50])
    ann.writes("Rowing on", "0", "500")

    tags = api.tags()

    # The two used twice, then the newest; the oldest of the others is left out.
    assert tags == ["500", "0"] + [name for name in reversed(names) if name not in ("0", "500", "1")]


def test_tags_need_no_token_and_ignore_a_wrong_one_and_the_query(api):
    api.someone("ann").writes("Rowing at dawn", "river")

    response = api.get("/tags?limit=0&cursor=x", headers={"Authorization": "Token wrong"})

    assert response.json == {"tags": ["river"]}
