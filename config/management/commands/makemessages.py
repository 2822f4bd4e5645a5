"""makemessages that knows our own names for marking a text, beside Django's."""

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    xgettext_options = [
        *makemessages.Command.xgettext_options,
        "--keyword=later",
        "--keyword=marked",
        "--keyword=say",
        "--keyword=say_many:1,2",
        "--keyword=say",
        "--keyword=say_many:1,2",
    ]
