"""Accuracy of scikit-learn's logistic regression on embeddings from standard input, for
each number of photographs: the best of the two parts and both."""
import json
import sys
import numpy as np
from sklearn.linear_model import LogisticRegression

d = json.load(sys.stdin)
v = np.array(d["vectors"], float).reshape(d["samples"], -1) / (127 << 8)
truth, pooled = np.array(d["truth"]), d["pooled"]
best = []
for draws in d["draws"]:
    accuracies = []
    for share in (1, 0.5, 0):
        e = v * np.sqrt(np.where(np.arange(v.shape[1]) < pooled, share, 1 - share))
        right = asked = 0
        for train, others in draws:
            known = [i for i in others if truth[i] >= 0]
            # In coordinates of the space of the training's, the regression is the same.
            space = np.linalg.svd(e[train], full_matrices=False)[2].T
            m = LogisticRegression(C=100, max_iter=500).fit(e[train] @ space, truth[train])
            right += (m.predict(e[known] @ space) == truth[known]).sum()
            asked += len(known)
        accuracies.append(right / asked)
    best.append(max(accuracies))
print(json.dumps(best))
