def test_a_favorite_counts_once_however_often_it_is_given(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    other = ann.writes("Rowing at dusk")

    bob.likes(slug)
    article = bob.likes(slug)

    assert article["favorited"] is True
    assert article["favoritesCount"] == 1
    assert bob.reads(other)["favorited"] is False
    assert ann.reads(slug)["favorited"] is False


def test_taking_a_favorite_back_twice_changes_nothing_more(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    ann.likes(slug)
    bob.likes(slug)

    bob.unlikes(slug)
    article = bob.unlikes(slug)

    assert article["favorited"] is False
    assert article["favoritesCount"] == 1
    assert ann.reads(slug)["favorited"] is True


def test_a_favorite_of_an_unknown_article_is_not_found(api):
    ann = api.someone("ann")

    assert ann.refusal(404, "POST", "/articles/nothing/favorite") == {"article": "not found"}
    assert ann.refusal(404, "DELETE", "/articles/nothing/favorite") == {"article": "not found"}


def test_a_favorite_does_not_touch_the_time_of_update(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    before = ann.reads(slug)["updatedAt"]

    bob.likes(slug)
    bob.unlikes(slug)

    assert ann.reads(slug)["updatedAt"] == before
