"""What the database itself sees to for adjustments, closes, seals, statements, earnings, reliefs and delegations.

An entry of an adjustment has no deal and no rule; every other entry has both, as before.
"""

from django.db import migrations

FORWARD = """
ALTER TABLE quotas_creditentry ADD COLUMN adjustment_id integer;
ALTER TABLE quotas_creditentry ALTER COLUMN deal_id DROP NOT NULL, ALTER COLUMN deal_version_id DROP NOT NULL,
  ALTER COLUMN line_no DROP NOT NULL, ALTER COLUMN rule_id DROP NOT NULL, ALTER COLUMN rule_version_id DROP NOT NULL,
  ALTER COLUMN plan_version_id DROP NOT NULL, ALTER COLUMN decision_id DROP NOT NULL;
ALTER TABLE quotas_creditentry ADD CONSTRAINT entry_of_a_deal_or_of_an_adjustment CHECK (
  CASE component WHEN 5 THEN adjustment_id IS NOT NULL AND deal_id IS NULL
  ELSE adjustment_id IS NULL
    AND num_nulls(deal_id, deal_version_id, line_no, rule_id, rule_version_id, plan_version_id, decision_id) = 0 END);
CREATE INDEX entry_of_an_adjustment ON quotas_creditentry (adjustment_id) WHERE adjustment_id IS NOT NULL;

SELECT append_only('quotas_disputemessage'), append_only('quotas_ledgermark'), append_only('quotas_markedposting'),
  append_only('quotas_asof'), append_only('quotas_closedtotal'), append_only('quotas_closedquota'), append_only('quotas_seal'),
  append_only('quotas_sealblock'), append_only('quotas_earningentry'), append_only('quotas_planacceptance'),
  append_only('quotas_dealapproval');

CREATE FUNCTION refuse_change_of_evidence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR (NEW.evidence, NEW.evidence_digest, NEW.text, NEW.kind, NEW.rep_id, NEW.deal_id, NEW.entry_id, NEW.opened_by_id, NEW.opened_at)
      IS DISTINCT FROM (OLD.evidence, OLD.evidence_digest, OLD.text, OLD.kind, OLD.rep_id, OLD.deal_id, OLD.entry_id, OLD.opened_by_id, OLD.opened_at) THEN
    RAISE EXCEPTION 'dispute % keeps what it was opened with', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER dispute_keeps_its_evidence BEFORE UPDATE OR DELETE ON quotas_dispute
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_evidence();

CREATE FUNCTION refuse_change_of_adjustment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.state <> 'asked' THEN
    RAISE EXCEPTION 'adjustment % is decided and cannot change: undo it with another one', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER posted_adjustment_is_immutable BEFORE UPDATE OR DELETE ON quotas_adjustment
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_adjustment();

CREATE FUNCTION refuse_change_of_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.acknowledged_at IS NOT NULL
      OR (to_jsonb(NEW) - 'acknowledged_at' - 'acknowledged_by_id') <> (to_jsonb(OLD) - 'acknowledged_at' - 'acknowledged_by_id') THEN
    RAISE EXCEPTION 'statement % stays as it was issued', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER statement_stays_as_issued BEFORE UPDATE OR DELETE ON quotas_statement
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_statement();

CREATE FUNCTION refuse_change_of_published_pay() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  kept record := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
  published boolean;
BEGIN
  IF TG_TABLE_NAME = 'quotas_payscale' THEN
    SELECT v.state IN ('published', 'superseded') INTO published FROM quotas_plancomponent c
      JOIN quotas_planversion v ON v.id = c.plan_version_id WHERE c.id = kept.component_id;
  ELSE
    SELECT v.state IN ('published', 'superseded') INTO published FROM quotas_payscale s
      JOIN quotas_plancomponent c ON c.id = s.component_id JOIN quotas_planversion v ON v.id = c.plan_version_id WHERE s.id = kept.scale_id;
  END IF;
  IF published THEN
    RAISE EXCEPTION 'what a published plan version pays cannot change' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN kept;
END $$;
CREATE TRIGGER published_pay_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON quotas_payscale
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_pay();
CREATE TRIGGER published_pay_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON quotas_ratetier
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_pay();

ALTER TABLE quotas_quotarelief ADD CONSTRAINT rep_has_one_relief_at_a_time EXCLUDE USING gist (
  int8range(rep_id, rep_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_draw ADD CONSTRAINT rep_has_one_draw_at_a_time EXCLUDE USING gist (
  int8range(rep_id, rep_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_delegation ADD CONSTRAINT somebody_delegates_to_one_at_a_time EXCLUDE USING gist (
  int8range(of_id, of_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_approvallimit ADD CONSTRAINT one_approval_limit_at_a_time EXCLUDE USING gist (effective WITH &&)
  WHERE (superseded_at IS NULL);

SELECT audited('quotas_dispute'), audited('quotas_adjustment'), audited('quotas_periodclose'), audited('quotas_quotarelief'),
  audited('quotas_draw'), audited('quotas_payscale'), audited('quotas_ratetier'), audited('quotas_delegation'),
  audited('quotas_approvallimit');
"""
BACKWARD = """
DROP TRIGGER published_pay_is_immutable ON quotas_ratetier;
DROP TRIGGER published_pay_is_immutable ON quotas_payscale;
DROP FUNCTION refuse_change_of_published_pay;
DROP TRIGGER statement_stays_as_issued ON quotas_statement;
DROP FUNCTION refuse_change_of_statement;
DROP TRIGGER posted_adjustment_is_immutable ON quotas_adjustment;
DROP FUNCTION refuse_change_of_adjustment;
DROP TRIGGER dispute_keeps_its_evidence ON quotas_dispute;
DROP FUNCTION refuse_change_of_evidence;
DROP INDEX entry_of_an_adjustment;
ALTER TABLE quotas_creditentry DROP CONSTRAINT entry_of_a_deal_or_of_an_adjustment;
ALTER TABLE quotas_creditentry DROP COLUMN adjustment_id;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0014_running_the_plan"),
        ("platform", "0003_append_only"),
        ("accounts", "0002_audit_trail"),
    ]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
