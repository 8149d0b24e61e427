"""A scikit-learn model, trained from a fixed seed, as a data scientist would ship it."""

import numpy as np
from sklearn.linear_model import LogisticRegression

PLANS = {"basic": 0.0, "plus": 1.0, "pro": 2.0}


def train():
    rng = np.random.default_rng(7)
    x = np.column_stack(
        [rng.uniform(18, 80, 600), rng.uniform(5, 120, 600), rng.integers(0, 72, 600), rng.integers(0, 3, 600)]
    )
    y = (0.02 * x[:, 1] - 0.03 * x[:, 2] - 0.4 * x[:, 3] + rng.normal(0, 1, 600)) > 0
    return LogisticRegression(max_iter=2000).fit(x, y)


MODEL = train()


def predict(customers):
    """Scores a list of dicts; one dict per customer."""
    x = [[c["age"], c["monthly_charge"], c["tenure_months"], PLANS[c["plan"]]] for c in customers]
    confidence = MODEL.predict_proba(np.asarray(x, dtype=float))[:, 1]
    return [{"will_churn": bool(p > 0.5), "confidence": float(p)} for p in confidence]
