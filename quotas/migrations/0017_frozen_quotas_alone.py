"""Frozen quotas name what they are of without foreign keys in the database, like frozen totals: five checks a row were most of a close."""

import django.db.models.deletion
from django.db import migrations, models


def _names(model: str, related_name: str, *, null: bool = False) -> "models.ForeignKey[object, object]":
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=null,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name=related_name,
        to=f"quotas.{model}",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0016_marks_settle"),
    ]

    operations = [
        migrations.AlterField("closedquota", "close", _names("periodclose", "quotas")),
        migrations.AlterField("closedquota", "period", _names("period", "+")),
        migrations.AlterField("closedquota", "measure", _names("measure", "+")),
        migrations.AlterField("closedquota", "rep", _names("rep", "+", null=True)),
        migrations.AlterField("closedquota", "team", _names("team", "+", null=True)),
    ]
