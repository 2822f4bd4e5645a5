"""The ledger: partitioned by posting period, append-only on the parent and on every partition.

A month that is added to a calendar gets its partition at once, by a trigger that runs as the owner, because the
application role cannot make tables. Statement triggers do not reach partitions, so each gets its own against TRUNCATE.
"""

from django.db import migrations

FORWARD = """
CREATE SEQUENCE quotas_creditentry_id_seq;

CREATE TABLE quotas_creditentry (
  id bigint NOT NULL DEFAULT nextval('quotas_creditentry_id_seq'),
  posting_id bigint NOT NULL,
  deal_id bigint NOT NULL,
  deal_version_id bigint NOT NULL,
  amount_minor bigint NOT NULL,
  reverses_id bigint,
  rep_id integer NOT NULL,
  team_id integer NOT NULL,
  rule_id integer NOT NULL,
  rule_version_id integer NOT NULL,
  plan_version_id integer NOT NULL,
  decision_id integer NOT NULL,
  fx_rate_id integer,
  posting_period_id integer NOT NULL,
  origin_period_id integer NOT NULL,
  credit_date date NOT NULL,
  measure_id smallint NOT NULL,
  line_no smallint NOT NULL,
  component smallint NOT NULL,
  receiver_class smallint NOT NULL,
  CONSTRAINT entry_amount_not_zero CHECK (amount_minor <> 0)
) PARTITION BY LIST (posting_period_id);

ALTER TABLE quotas_creditentry ADD PRIMARY KEY (posting_period_id, id);
CREATE INDEX entry_of_a_deal ON quotas_creditentry (deal_id);
CREATE INDEX entry_of_a_rep ON quotas_creditentry (rep_id, measure_id, credit_date);
SELECT append_only('quotas_creditentry');

CREATE FUNCTION make_ledger_partition() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  partition text := 'quotas_creditentry_p' || NEW.id;
BEGIN
  EXECUTE format('CREATE TABLE %I PARTITION OF quotas_creditentry FOR VALUES IN (%s)', partition, NEW.id);
  EXECUTE format('CREATE TRIGGER entries_never_truncated BEFORE TRUNCATE ON %I EXECUTE FUNCTION refuse_change()', partition);
  RETURN NEW;
END $$;

CREATE TRIGGER month_has_a_ledger_partition AFTER INSERT ON quotas_period
  FOR EACH ROW WHEN (NEW.grain = 'M') EXECUTE FUNCTION make_ledger_partition();

SELECT append_only('quotas_posting'), append_only('quotas_postingcount'), append_only('quotas_reversal');
"""
BACKWARD = """
DROP TRIGGER month_has_a_ledger_partition ON quotas_period;
DROP FUNCTION make_ledger_partition;
DROP TABLE quotas_creditentry;
DROP SEQUENCE quotas_creditentry_id_seq;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0002_ranges_apart"), ("platform", "0003_append_only")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
