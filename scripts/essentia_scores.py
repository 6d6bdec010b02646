"""Score patches with a frozen graph in Essentia's own TensorFlow; needs `essentia-tensorflow` and nothing of ours.

python scripts/essentia_scores.py GRAPH.pb DESCRIPTION.json PATCHES.npy SCORES.npy
"""

import json
import sys
from pathlib import Path

import essentia
import essentia.standard
import numpy as np

graph, description, patches_file, scores_file = sys.argv[1:]
schema = json.loads(Path(description).read_text(encoding="utf-8"))["schema"]
node_in, node_out = schema["inputs"][0]["name"], schema["outputs"][0]["name"]
essentia.log.infoActive = False
predict = essentia.standard.TensorflowPredict(graphFilename=graph, inputs=[node_in], outputs=[node_out], squeeze=False)
pool = essentia.Pool()
pool.set(node_in, np.load(patches_file))
np.save(scores_file, np.squeeze(predict(pool)[node_out], axis=(1, 2)))
