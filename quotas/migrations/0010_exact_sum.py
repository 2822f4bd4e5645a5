"""sum_minor(bigint): a sum that stays a bigint, and refuses what does not fit. The built-in one turns to numeric, which totals pay for."""

from django.db import migrations

FORWARD = """
CREATE AGGREGATE sum_minor(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', COMBINEFUNC = int8pl, PARALLEL = SAFE);
COMMENT ON AGGREGATE sum_minor(bigint) IS 'sum of minor units, exact; 0 of nothing; an error where it does not fit';
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0009_totals_moved")]

    operations = [migrations.RunSQL(FORWARD, "DROP AGGREGATE sum_minor(bigint)")]
