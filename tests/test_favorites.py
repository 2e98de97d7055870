def test_a_favorite_counts_once_even_if_it_is_added_twice(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    other = ann.writes("Rowing at dusk")

    bob.likes(slug)
    article = bob.likes(slug)

    assert article["favorited"] is True
    assert article["favoritesCount"] == 1
    assert bob.reads(other)["favorited"] is False
    assert ann.reads(slug)["favorited"] is False


def test_removing_a_favorite_twice_leaves_those_of_others(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    ann.likes(slug)
    bob.likes(slug)
    bob.likes(other)

    bob.unlikes(slug)
    article = bob.unlikes(slug)

    assert article["favorited"] is False
    assert article["favoritesCount"] == 1
    assert ann.reads(slug)["favorited"] is True
    assert bob.reads(other)["favorited"] is True
