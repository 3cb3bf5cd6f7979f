"""Writes logistic.json: logistic regression by scikit-learn on integer embeddings, which
the test compares with. python3 logistic.py > logistic.json"""
import json
import numpy as np
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(13)
pooled, logits, samples, classes, unit = 12, 6, 36, 3, 127 << 8
y = np.arange(samples) % classes
x = rng.gamma(1.5, 1, (samples, pooled + logits)) + rng.gamma(1, 1, (classes, pooled + logits))[y]
for part in (slice(0, pooled), slice(pooled, None)):
    x[:, part] /= np.linalg.norm(x[:, part], axis=1, keepdims=True)
x = np.floor(x * unit + 0.5).astype(int)
weight = np.round(rng.uniform(0.5, 2, samples), 3)
out = {"pooled": pooled, "classes": classes, "vectors": x.tolist(), "target": y.tolist(), "weight": weight.tolist(), "fits": []}
for share in (1, 0.5, 0.25):
    e = x / unit * np.sqrt(np.where(np.arange(pooled + logits) < pooled, share, 1 - share))
    for strength in (1, 100, 1000):
        m = LogisticRegression(C=strength, tol=1e-12, max_iter=100000, solver="newton-cg").fit(e, y, sample_weight=weight)
        z = m.decision_function(e)
        out["fits"].append({"share": share, "strength": strength, "logits": np.round(z - z.mean(1, keepdims=True), 9).tolist()})
print(json.dumps(out))
