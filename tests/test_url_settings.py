"""Settings that hold URLs and addresses: what can be read in two ways is refused, and no error shows a secret."""

import pytest

from config import Config, ConfigError


def refusal(name, value):
    with pytest.raises(ConfigError) as refused:
        Config.from_environment({name: value})
    return str(refused.value)


MAIL_SERVERS = [
    "smtp://me:42#secret@host",
    "smtp://me:42/secret@host",
    "smtp://me:42?secret@host",
    "smtp://me:secret@host/",
    "smtp://me:secret@host/path",
    "smtp://me:secret@host?",
    "smtp://me:secret@host?tls=no",
    "smtp://me:secret@host#",
    "smtp://me:secret@host#x",
    "smtp://me@example.org:secret@host",  # the @ of an address is %40
    "smtp://me:sec@ret@host",
    "smtp://me:sec\\ret@host",
    "smtp://me:sec[ret@host",
    "smtp://me:sec ret@host",
    "smtp://me:sec\tret@host",  # urlsplit drops these two
    "smtp://me:secret\n@host",
    " smtp://me:secret@host",
    "smtp://me:secret@host\n",
    "smtp://me:sec\x7fret@host",
    "smtp://me:sec%ret@host",
    "smtp://me:secret%@host",
    "smtp://me:sec%0d%0aret@host",
    "smtp://me:sec%C3%A9ret@host",
    "smtp://me:secrét@host",
    "smtp://me:secret@hóst",
    "smtp://me:secret@ho%73t",
    "smtp://secret@host",  # a user or a password alone
    "smtp://:secret@host",
    "smtp://me:@host",
    "smtp://@host",
    "smtp://me:secret@",
    "smtp://me:secret@:25",
    "smtp://me:secret@host:",
    "smtp://me:secret@host:0",
    "smtp://me:secret@host:65536",
    "smtp://me:secret@host:2 5",
    "smtp://me:secret@host:٢٥",
    "smtp://me:secret@one,two",
    "smtp://me:secret@[::1",
    "smtp://me:secret@[host]",
    "smtp:me:secret@host",
    "smtp:/me:secret@host",
    "me:secret@host",
    "smtp+tls://me:secret@host",
]


@pytest.mark.parametrize("value", MAIL_SERVERS)
def test_a_mail_server_that_could_be_read_in_two_ways_is_refused_without_being_shown(value):
    message = refusal("ROWBOAT_SMTP_URL", value)

    assert message.startswith("ROWBOAT_SMTP_URL must be smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST:PORT")
    assert "sec" not in message
    assert "42" not in message


@pytest.mark.parametrize(
    "value",
    [
        "smtp://127.0.0.1",
        "smtp://[::1]:25",
        "smtps://mail.example.org",
        "SMTPS://Mail.Example.org:465",
        "smtp://club%40example.org:p%2Fss%3A%20w%40rd%25%23@mail.example.org:587",
        "smtp://me:a:b@mail_1.internal",
        "smtp://me:!$&'()*+,;=-._~^`{|}\"<>@host.",
    ],
)
def test_a_mail_server_with_special_characters_where_they_belong_is_taken(value):
    assert Config.from_environment({"ROWBOAT_SMTP_URL": value}).smtp_url == value


@pytest.mark.parametrize(
    "value",
    [
        "https://secret@example.org/1?x=2",
        "https://secret@example.org/1#2",
        "https://secret@example.org#x/1",
        "https://secret@example.org?/1",
        "https://a@secret@example.org/1",
        "https://secret@example.org/1\n",
        "https://sec\tret@example.org/1",
        "https://:secret@example.org/1",
        "https://sec%zzret@example.org/1",
        "https://secret@example.org/١",
        "https://secret@example.org:0/1",
        "https://secret@/1",
    ],
)
def test_a_sentry_dsn_that_could_be_read_in_two_ways_is_refused_without_being_shown(value):
    assert refusal("SENTRY_DSN", value) == (
        "SENTRY_DSN must be https://KEY@HOST/PROJECT with the number of a project, or empty"
    )


@pytest.mark.parametrize("value", ["https://key@o1.ingest.sentry.io/2", "http://k:s@127.0.0.1:9000/sentry/x-1/3"])
def test_a_sentry_dsn_may_have_a_secret_and_a_path(value):
    assert Config.from_environment({"SENTRY_DSN": value}).sentry_dsn == value


@pytest.mark.parametrize("value", ["x<a@b.org", "a@b.org,c@d.org", "Club <a@b.org>", "a@b@c", "a@b.org\n", '"a"@b.org'])
def test_a_sender_that_mail_servers_would_read_differently_is_refused(value):
    assert "must be an address, such as club@example.org" in refusal("ROWBOAT_MAIL_FROM", value)


@pytest.mark.parametrize("value", ["://{token}", "https://a.org/ {token}", "https://a.org/{token}\n", "a b://{token}"])
def test_a_link_that_a_mail_would_break_is_refused(value):
    assert "must be a link with {token} in it" in refusal("ROWBOAT_RESET_LINK", value)


def test_a_link_may_have_a_fragment_and_the_scheme_of_an_app():
    for link in ("https://example.org/#/reset?token={token}", "org.example.club://reset/{token}"):
        assert Config.from_environment({"ROWBOAT_RESET_LINK": link}).reset_link == link
