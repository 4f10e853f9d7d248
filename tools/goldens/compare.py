"""Whole scores of TensorFlow against the converted networks: `python compare.py FOLDER TESTS`, after official_keras.py.

Keras's own files are converted here, in both of its layouts, so that a change in what Keras writes is seen.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from kappamask.conversion import convert

NETWORKS = (("unet", 13, "L1C"), ("unet", 13, "L2A"), ("deeplabv3plus", 13, "L1C"), ("deeplabv3plus", 14, "L2A"))


def main(folder: Path) -> None:
    import official

    for architecture, channels, level in NETWORKS:
        for file in (f"{architecture}-{channels}.hdf5", f"{architecture}-{channels}-whole.h5"):
            card = convert(folder / file, architecture, level, Path(tempfile.mkdtemp()))
            session = onnxruntime.InferenceSession(str(card.folder / card.file))
            for path in sorted(folder.glob(f"{architecture}-{channels}-*.npy")):
                expected, side = np.load(path), int(path.stem.rpartition("-")[2])
                found = session.run(None, {"image": official.image(channels, side)[None]})[0][0]
                gap, same = np.abs(found - expected).max(), (found.argmax(axis=0) == expected.argmax(axis=0)).mean()
                print(f"{file:<28}{level:<5}{side:>5} px  largest difference {gap:.1e}  same class {same:.4%}")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    main(Path(sys.argv[1]))
