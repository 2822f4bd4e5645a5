"""A decided private offer never changes again, and an accepted one gets no further price row."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION private_offer_stays_as_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state IN ('accepted', 'declined', 'expired', 'withdrawn') THEN
    RAISE EXCEPTION 'A private offer that is % stays so: % is refused', OLD.state, TG_OP USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER stays_as_decided BEFORE UPDATE OR DELETE ON marketplace_privateoffer
  FOR EACH ROW EXECUTE FUNCTION private_offer_stays_as_decided();

CREATE FUNCTION accepted_offer_gets_no_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM marketplace_priceversion v JOIN marketplace_privateoffer o ON o.id = v.private_offer_id
    WHERE v.id = NEW.version_id AND o.state = 'accepted'
  ) THEN
    RAISE EXCEPTION 'The price of an accepted private offer is locked: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER no_row_after_acceptance BEFORE INSERT ON marketplace_pricerow
  FOR EACH ROW EXECUTE FUNCTION accepted_offer_gets_no_row();
"""
BACKWARD = """
DROP TRIGGER no_row_after_acceptance ON marketplace_pricerow;
DROP FUNCTION accepted_offer_gets_no_row;
DROP TRIGGER stays_as_decided ON marketplace_privateoffer;
DROP FUNCTION private_offer_stays_as_decided;
"""


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0008_search_index")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
