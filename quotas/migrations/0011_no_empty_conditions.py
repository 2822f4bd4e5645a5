from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0010_exact_sum"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="ruleversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("offerings", []),
                    ("publishers", []),
                    ("families", []),
                    ("paths", []),
                    ("task_areas", []),
                    ("pricing_forms", []),
                    ("deal_kinds", []),
                    ("segments", []),
                    ("regions", []),
                    ("roles", []),
                    ("territories", []),
                    _connector="OR",
                    _negated=True,
                ),
                name="rule_condition_names_something",
            ),
        ),
    ]
