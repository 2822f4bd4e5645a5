"""How components pay, in the plan editor: refused with one clear message, copied, compared, fingerprinted, told by the linter."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from config.refusals import Invalid
from quotas.models import ONE, Measure, PayScale, PlanVersion
from quotas.selectors.linter import Weight, findings_of
from quotas.selectors.pay_words import components_of, sentences, terms_of
from quotas.selectors.plans import fingerprint
from quotas.selectors.rules import difference
from quotas.services import plans
from quotas.services.plans import ComponentDraft, ScaleDraft
from tests import make

pytestmark = pytest.mark.django_db

RISING = ((0, 500_000), (500_000, ONE), (ONE, 1_500_000))


@pytest.fixture
def admin() -> User:
    return make.user(role=Role.COMP_ADMIN)


@pytest.fixture
def measure() -> Measure:
    return make.measure(name="AI bookings")


@pytest.fixture
def draft(measure: Measure) -> PlanVersion:
    return make.plan_version(rules=[make.Rule(measure)], effective=(make.TODAY, None), state="draft")


def saved(
    draft: PlanVersion, admin: User, measure: Measure, scale: ScaleDraft, target: int | None = 60_000_00
) -> list[str]:
    """What is stored, in words."""
    component = ComponentDraft(measure.pk, ONE, target, "USD" if target is not None else None, scale)
    plans.save_components(plan_version_id=draft.pk, components=[component], by=admin, at=make.AT)
    (stored,) = components_of(draft)
    terms = terms_of(stored)
    assert terms is not None
    return sentences(terms)


def test_a_rate_table_reads_as_anybody_would_say_it(
    draft: PlanVersion, admin: User, measure: Measure
) -> None:
    assert saved(draft, admin, measure, ScaleDraft(RISING, threshold=300_000, cap_minor=30_000_00)) == [
        "0% to 50% of quota: 0.5% of target for each 1%",
        "50% to 100%: 1% of target for each 1%",
        "From 100% on: 1.5% of target for each 1%",
        "Below 30% of quota nothing is paid; from there on everything counts.",
        "At most $30,000 a quarter.",
    ]
    by_credit = ScaleDraft(((0, 50_000), (10_000_00, 70_000)), by="amount", window="Y", whole_amount=True)
    assert saved(draft, admin, measure, by_credit, None) == [
        "$0 to $10,000 of credit: 5% of the credit",
        "From $10,000 on: 7% of the credit",
        "The rate that is reached counts for everything, not only for what lies above.",
    ]
    assert PayScale.objects.count() == 1


@pytest.mark.parametrize(
    ("scale", "target", "code", "pointer"),
    [
        (ScaleDraft(()), 1, "rates_missing", "scale/tiers"),
        (ScaleDraft(((10_000, ONE),)), 1, "first_rate_not_at_nothing", "scale/tiers"),
        (ScaleDraft(((0, ONE), (500_000, 1), (500_000, 2))), 1, "rates_not_rising", "scale/tiers"),
        (ScaleDraft(((0, ONE), (500_000, 1), (400_000, 2))), 1, "rates_not_rising", "scale/tiers"),
        (ScaleDraft(((0, ONE), (-1, 1))), 1, "rate_starts_out_of_bounds", "scale/tiers"),
        (ScaleDraft(((0, 100_000_001),)), 1, "rate_out_of_bounds", "scale/tiers"),
        (ScaleDraft(((0, 0),)), 1, "rates_pay_nothing", "scale/tiers"),
        (ScaleDraft(RISING), None, "target_incentive_missing", "target_incentive"),
        (ScaleDraft(RISING, threshold=-1), 1, "threshold_out_of_bounds", "scale/threshold"),
        (ScaleDraft(RISING, cap_minor=0), 1, "cap_out_of_bounds", "scale/cap"),
        (ScaleDraft(RISING, window="W"), 1, "scale_unknown", "scale/by"),
    ],
)
def test_what_cannot_pay_is_refused_and_nothing_is_stored(
    draft: PlanVersion,
    admin: User,
    measure: Measure,
    scale: ScaleDraft,
    target: int | None,
    code: str,
    pointer: str,
) -> None:
    with pytest.raises(Invalid) as refused:
        saved(draft, admin, measure, scale, target)
    (problem,) = refused.value.problems
    assert (problem.code, problem.pointer) == (code, f"/components/0/{pointer}")
    assert not draft.components.exists()


def test_a_count_has_no_commission(draft: PlanVersion, admin: User) -> None:
    logos = make.measure(name="Logos", basis="new_customers")
    with pytest.raises(Invalid, match="Logos are counted"):
        saved(draft, admin, logos, ScaleDraft(((0, ONE),), by="amount"), None)


def test_the_next_version_pays_like_the_one_before_until_it_is_changed(
    draft: PlanVersion, admin: User, measure: Measure
) -> None:
    said = saved(draft, admin, measure, ScaleDraft(RISING, cap_minor=30_000_00))
    draft.state = "published"
    draft.published_by, draft.published_at = make.user(), make.AT
    draft.save()
    later = plans.start_draft(plan_id=draft.plan_id, starts=make.TODAY, by=admin, at=make.AT)
    assert [sentences(t) for c in components_of(later) if (t := terms_of(c))] == [said]
    assert not difference(later, draft).any
    before = fingerprint(later)
    saved(later, admin, measure, ScaleDraft(RISING[:2], cap_minor=30_000_00))
    assert fingerprint(later) != before
    (change,) = difference(later, draft).components
    assert "From 100% on: 1.5% of target for each 1%" in change.before
    assert "From 50% on: 1% of target for each 1%" in change.after
    assert [tier.rate_ppm for tier in PayScale.objects.get(component__plan_version=draft).tiers.all()] == [
        rate for _, rate in RISING
    ]


def test_the_linter_names_what_pays_nothing_and_what_cannot_be_converted(
    draft: PlanVersion, admin: User, measure: Measure
) -> None:
    euros = make.measure(name="Euro deals", code="EUR")
    components = [
        ComponentDraft(euros.pk, ONE // 2, 10_000_00, "USD", ScaleDraft(((0, 30_000),), by="amount")),
        ComponentDraft(measure.pk, ONE // 2),
    ]
    plans.save_components(plan_version_id=draft.pk, components=components, by=admin, at=make.AT)

    def found() -> list[tuple[str, Weight]]:
        return [
            (each.code, each.weight)
            for each in findings_of(draft)
            if each.code in ("no_rate_to_pay", "component_without_rates")
        ]

    assert sorted(found()) == [
        ("component_without_rates", Weight.WARNS),
        ("no_rate_to_pay", Weight.BLOCKS),
    ]
    make.fx()
    assert found() == [("component_without_rates", Weight.WARNS)]


def test_the_components_page_keeps_what_was_entered_and_says_what_is_wrong(
    draft: PlanVersion, admin: User, measure: Measure
) -> None:
    client = Client()
    client.force_login(admin)
    url = reverse("quotas:plan-components", args=[draft.plan.slug, draft.number])
    pk = measure.pk
    entered = {
        f"weight-{pk}": "100",
        f"incentive-{pk}": "60,000",
        f"currency-{pk}": "USD",
        f"pays-{pk}": "attainment",
        f"window-{pk}": "Q",
        f"from0-{pk}": "0",
        f"rate0-{pk}": "50",
        f"from1-{pk}": "40",
        f"rate1-{pk}": "",
    }
    page = client.post(url, entered)
    assert page.status_code == 422
    assert "Rate 2: say both from where on and how much." in page.content.decode()
    page = client.post(url, {**entered, f"from0-{pk}": "10", f"rate1-{pk}": "100"})
    assert "The first rate begins at 10% and has to begin at 0" in page.content.decode()
    assert not PayScale.objects.exists()
    done = client.post(url, {**entered, f"rate1-{pk}": "100", f"threshold-{pk}": "20", f"cap-{pk}": "20,000"})
    assert done.status_code == 302
    scale = PayScale.objects.get()
    assert (scale.threshold, scale.cap_minor) == (200_000, 20_000_00)
    assert list(scale.tiers.values_list("starts_at", "rate_ppm")) == [(0, 500_000), (400_000, ONE)]
    shown = client.get(url).content.decode()
    assert "0% to 40% of quota: 0.5% of target for each 1%" in shown
    assert 'value="40"' in shown
    client.post(url, {**entered, f"pays-{pk}": "", f"rate1-{pk}": "100"})
    assert not PayScale.objects.exists()
