"""Restated totals are kept as what they add to the reported ones: nothing, wherever credit is posted into its own month."""

from django.db import migrations, models

FORWARD = """
UPDATE quotas_credittotal s SET direct_minor = s.direct_minor - r.direct_minor, overlay_minor = s.overlay_minor - r.overlay_minor
  FROM quotas_credittotal r
  WHERE s.basis = 2 AND r.basis = 1 AND (r.period_id, r.measure_id, r.team_id, r.rep_id) = (s.period_id, s.measure_id, s.team_id, s.rep_id);
INSERT INTO quotas_credittotal (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
  SELECT r.period_id, r.measure_id, 2, r.team_id, r.rep_id, -r.direct_minor, -r.overlay_minor
  FROM quotas_credittotal r JOIN quotas_period p ON p.id = r.period_id AND p.grain = 'M'
  WHERE r.basis = 1 AND NOT EXISTS (
    SELECT FROM quotas_credittotal s
    WHERE s.basis = 2 AND (r.period_id, r.measure_id, r.team_id, r.rep_id) = (s.period_id, s.measure_id, s.team_id, s.rep_id));
DELETE FROM quotas_credittotal WHERE basis = 2 AND direct_minor = 0 AND overlay_minor = 0;
-- Totals are updated in place: room in each page keeps the index out of it.
ALTER TABLE quotas_credittotal SET (fillfactor = 90);
"""
BACKWARD = """
UPDATE quotas_credittotal s SET direct_minor = s.direct_minor + r.direct_minor, overlay_minor = s.overlay_minor + r.overlay_minor
  FROM quotas_credittotal r
  WHERE s.basis = 2 AND r.basis = 1 AND (r.period_id, r.measure_id, r.team_id, r.rep_id) = (s.period_id, s.measure_id, s.team_id, s.rep_id);
INSERT INTO quotas_credittotal (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
  SELECT r.period_id, r.measure_id, 2, r.team_id, r.rep_id, r.direct_minor, r.overlay_minor
  FROM quotas_credittotal r JOIN quotas_period p ON p.id = r.period_id AND p.grain = 'M'
  WHERE r.basis = 1 AND NOT EXISTS (
    SELECT FROM quotas_credittotal s
    WHERE s.basis = 2 AND (r.period_id, r.measure_id, r.team_id, r.rep_id) = (s.period_id, s.measure_id, s.team_id, s.rep_id));
DELETE FROM quotas_credittotal WHERE basis = 2 AND direct_minor = 0 AND overlay_minor = 0;
ALTER TABLE quotas_credittotal RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0008_plans_whole_rules")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AlterField(
            model_name="credittotal",
            name="basis",
            field=models.SmallIntegerField(
                choices=[
                    (1, "As reported: by posting period"),
                    (2, "What restating by origin period adds to that"),
                ]
            ),
        ),
    ]
