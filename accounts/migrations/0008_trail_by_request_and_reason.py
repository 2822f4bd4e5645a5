"""What one request changed, and what was changed for a reason, is found in the trail by index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_how_a_person_reads")]

    operations = [
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["request_id", "id"],
                name="audit_of_one_request",
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("reason", ""), _negated=True), fields=["id"], name="audit_with_a_reason"
            ),
        ),
    ]
