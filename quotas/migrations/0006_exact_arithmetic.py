"""Exact integer arithmetic for the engine: rounding half away from zero, f(-x) = -f(x), nothing floats."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION mul_ppm(v bigint, ppm bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  (v / 1000000) * ppm + (mod(v, 1000000) * ppm + CASE WHEN mod(v, 1000000) * ppm < 0 THEN -500000 ELSE 500000 END) / 1000000;

CREATE FUNCTION mul_div(a bigint, n bigint, d bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  CASE
    WHEN abs(a) <= 4000000000000000000 / n THEN (2 * a * n + CASE WHEN a < 0 THEN -d ELSE d END) / (2 * d)
    WHEN div(2 * abs(a)::numeric * n + d, 2 * d::numeric) <= 9000000000000 THEN (sign(a::numeric) * div(2 * abs(a)::numeric * n + d, 2 * d::numeric))::bigint
  END;
COMMENT ON FUNCTION mul_ppm IS 'v x ppm / 1000000, rounded half away from zero; v is split first, so nothing overflows';
COMMENT ON FUNCTION mul_div IS 'a x n / d, rounded half away from zero; n, d > 0; null when an intermediate needs more than a bigint and the result is beyond 9e12';
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0005_audited")]

    operations = [migrations.RunSQL(FORWARD, "DROP FUNCTION mul_div; DROP FUNCTION mul_ppm")]
