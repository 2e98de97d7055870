# mypy: ignore-errors
"""Flask with the SQLAlchemy ORM, for gunicorn."""

from flask import Flask, abort, g, jsonify, request

from bench.contestants import sqlalchemy_queries as queries

app = Flask(__name__)
app.json.sort_keys = False
app.json.ensure_ascii = False


@app.before_request
def open_session():
    """A session for each request, and who is calling."""
    g.session = queries.SessionLocal()
    g.user = None
    header = request.headers.get("Authorization")
    if header is not None:
        g.user = queries.user_of(g.session, header)
        if g.user is None:
            abort(401)


@app.teardown_request
def close_session(error):
    """Give its connection back."""
    g.session.close()


@app.errorhandler(401)
@app.errorhandler(404)
@app.errorhandler(422)
def refuse(error):
    """Errors are JSON."""
    return jsonify(errors={error.name.lower(): [error.description]}), error.code


def _profile(author, followed):
    return {
        "username": author.username,
        "bio": author.bio,
        "image": author.image,
        "following": author.id in followed,
    }


def _article(article, liked, followed):
    return {
        "slug": article.slug,
        "title": article.title,
        "description": article.description,
        "tagList": [tag.name for tag in article.tags],
        "createdAt": article.created_at,
        "updatedAt": article.updated_at,
        "favorited": article.id in liked,
        "favoritesCount": article.favorites_count,
        "author": _profile(article.author, followed),
    }


def _comment(comment, followed):
    return {
        "id": comment.id,
        "createdAt": comment.created_at,
        "updatedAt": comment.created_at,
        "body": comment.body,
        "author": _profile(comment.author, followed),
    }


def _listing(found):
    limit = request.args.get("limit", 20, type=int)
    offset = request.args.get("offset", 0, type=int)
    if limit < 1 or offset < 0:
        abort(422)
    articles, total = queries.page(g.session, found, min(limit, 100), offset)
    liked = queries.liked_by(g.session, g.user, articles)
    followed = queries.followed_by(g.session, g.user, [article.author for article in articles])
    return jsonify(articles=[_article(article, liked, followed) for article in articles], articlesCount=total)


@app.get("/api/articles")
def list_articles():
    """A listing."""
    names = ("tag", "author", "favorited")
    return _listing(queries.all_articles(*(request.args.get(name) for name in names)))


@app.get("/api/articles/feed")
def feed():
    """Articles by those whom the caller follows."""
    if g.user is None:
        abort(401)
    return _listing(queries.feed_of(g.user))


@app.get("/api/articles/<slug>")
def read_article(slug):
    """One article."""
    article = queries.article_at(g.session, slug)
    if article is None:
        abort(404)
    liked = queries.liked_by(g.session, g.user, [article])
    followed = queries.followed_by(g.session, g.user, [article.author])
    return jsonify(article=_article(article, liked, followed) | {"body": article.body})


def _article_id(slug):
    article_id = queries.article_id_at(g.session, slug)
    if article_id is None:
        abort(404)
    return article_id


@app.get("/api/articles/<slug>/comments")
def list_comments(slug):
    """The comments of an article."""
    comments = queries.comments_on(g.session, _article_id(slug))
    followed = queries.followed_by(g.session, g.user, [comment.author for comment in comments])
    return jsonify(comments=[_comment(comment, followed) for comment in comments])


@app.post("/api/articles/<slug>/comments")
def add_comment(slug):
    """Comment on an article."""
    if g.user is None:
        abort(401)
    body = (request.get_json().get("comment") or {}).get("body")
    if not isinstance(body, str) or not body.strip():
        abort(422)
    comment = queries.add_comment(g.session, _article_id(slug), g.user, body)
    followed = queries.followed_by(g.session, g.user, [comment.author])
    return jsonify(comment=_comment(comment, followed)), 201


@app.get("/api/tags")
def list_tags():
    """The tags."""
    return jsonify(tags=queries.tag_names(g.session))
