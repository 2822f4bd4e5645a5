"""Deals are found by parts of names, of titles and by external ids, along an index: by trigrams, without an extension."""

from django.db import migrations, models

FORWARD = """
CREATE FUNCTION plain_name(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT COST 50 RETURN
  CASE WHEN octet_length(said) = length(said) THEN lower(said)
       ELSE lower(regexp_replace(normalize(said, NFKD), '[\\u0300-\\u036f]', '', 'g')) END;
COMMENT ON FUNCTION plain_name IS 'in lower case and without accents';

CREATE FUNCTION name_grams(said text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT COST 2000 RETURN
  ARRAY(SELECT DISTINCT substr(padded, n, 3)
          FROM (SELECT '  ' || word || ' ' AS padded
                  FROM regexp_split_to_table(plain_name(said), '[][[:space:]!-/:-@\\\\^_`{-~]+') AS word WHERE word <> '') AS words
         CROSS JOIN LATERAL generate_series(1, length(padded) - 2) AS n);
COMMENT ON FUNCTION name_grams IS 'the trigrams of its words, with two blanks before each and one behind';

CREATE INDEX customer_by_parts_of_its_name ON marketplace_customer USING gin (name_grams(name));
CREATE INDEX rep_by_parts_of_the_name ON quotas_rep USING gin (name_grams(name));
CREATE INDEX deal_version_by_parts_of_its_title ON quotas_dealversion USING gin (name_grams(title)) WHERE title <> '';
CREATE INDEX deal_by_external_id_in_any_case ON quotas_deal (upper(external_id)) WHERE external_id <> '';
"""
BACKWARD = """
DROP INDEX deal_by_external_id_in_any_case, deal_version_by_parts_of_its_title, rep_by_parts_of_the_name, customer_by_parts_of_its_name;
DROP FUNCTION name_grams;
DROP FUNCTION plain_name;
"""


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0015_scenario_growth"), ("quotas", "0019_boards_kept_ahead")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AddIndex(
            model_name="deal",
            index=models.Index(fields=["id"], condition=models.Q(held=True), name="deal_that_is_held"),
        ),
    ]
