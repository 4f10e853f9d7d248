"""TensorFlow 2.15's scores of the official architectures, from seeds: `official_keras.py OUT.npz TESTS FOLDER`.

Run by `make goldens` in an environment of its own. Weights are made by tests/helpers/official.py, so that a test can
make the same ones without TensorFlow; here Keras takes them, gives the scores, and writes them in its own two layouts.
The networks are written down from the official ones (km_predict, architectures.py, 2022).
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

K = keras.layers
sys.path.insert(0, sys.argv[2])

import official

#: Sides at which whole scores are compared, and how much of the smallest is stored.
SIDES = {"unet": (96, 256, 512, 1024), "deeplabv3plus": (320, 512, 1024)}
STORED = 64


class Pad(K.Layer):
    """Mirror the border with its own pixel, so that a convolution keeps the sides."""

    def __init__(self, size, stride=1, rate=1):
        super().__init__()
        self.total = max(size + (size - 1) * (rate - 1) - stride, 0)

    def call(self, x):
        pair = (self.total // 2, self.total - self.total // 2)
        return tf.pad(x, ((0, 0), pair, pair, (0, 0)), "SYMMETRIC")


def unet(channels, side):
    def conv(x, filters, size=3):
        return K.Conv2D(filters, size, activation="relu", padding="same")(x)

    x = source = K.Input((side, side, channels), name="input")
    skips = []
    for i, filters in enumerate(official.UNET):
        x = conv(conv(K.MaxPool2D()(x) if i else x, filters), filters)
        x = K.Dropout(0.5)(x) if i > 2 else x
        skips.append(x)
    for filters, skip in zip(official.UNET[-2::-1], skips[-2::-1], strict=True):
        x = K.concatenate([skip, conv(K.UpSampling2D()(x), filters, 2)], axis=3)
        x = conv(conv(x, filters), filters)
    x = conv(x, 2)
    return keras.Model(source, K.Conv2D(6, 1, activation="sigmoid")(x))


def block(x, filters, size=3, rate=1, bias=False):
    x = K.Conv2D(filters, size, dilation_rate=rate, use_bias=bias)(Pad(size, rate=rate)(x))
    return tf.nn.relu(K.BatchNormalization()(x))


def conv_bn(x, filters, size, stride=1):
    return K.BatchNormalization()(K.Conv2D(filters, size, stride, use_bias=False)(Pad(size, stride)(x)))


def sep_bn(x, filters):
    return K.BatchNormalization()(K.SeparableConv2D(filters, 3, use_bias=False)(Pad(3)(x)))


def pool(x):
    return K.MaxPool2D(3, 2)(Pad(3, 2)(x))


def extractor(source):
    x = K.ReLU()(conv_bn(source, 32, 3, 2))
    x = shortcut = K.ReLU()(conv_bn(x, 64, 3))
    low = None
    for i, filters in enumerate((128, 256, 728)):
        body = sep_bn(K.ReLU()(sep_bn(K.ReLU()(x) if i else x, filters)), filters)
        low = body if i == 1 else low
        body = pool(body)
        shortcut = conv_bn(shortcut, filters, 1, 2)
        x = K.Add()([shortcut, body])
    for _ in range(8):
        body = x
        for _ in range(3):
            body = sep_bn(K.ReLU()(body), 728)
        x = K.Add()([x, K.ReLU()(body)])
    high = sep_bn(K.ReLU()(sep_bn(K.ReLU()(x), 728)), 1024)
    # What follows is built by the official tool and never used; it takes numbers that the saved names then skip.
    rest = K.Add()([conv_bn(x, 1024, 1, 2), pool(high)])
    sep_bn(K.ReLU()(sep_bn(rest, 1536)), 2048)
    return low, high


def deeplab(channels, side):
    source = K.Input((side, side, channels), name="input")
    low, x = extractor(source)
    sides = x.shape[1]
    mean = block(K.AveragePooling2D((sides, sides))(x), 256, 1, bias=True)
    parts = [K.UpSampling2D(sides, interpolation="bilinear")(mean), block(x, 256, 1)]
    parts += [block(x, 256, 3, rate) for rate in (6, 12, 18)]
    x = block(K.concatenate(parts), 256, 1)
    x = K.UpSampling2D(4, interpolation="bilinear")(x)
    x = K.concatenate([x, block(low, 48, 1)])
    x = block(block(x, 256), 256)
    x = K.UpSampling2D(4, interpolation="bilinear")(x)
    return keras.Model(source, K.Conv2D(6, 1, activation="softmax")(x))


BUILD = {"unet": unet, "deeplabv3plus": deeplab}


def build_network(architecture, channels, side, path):
    """Build a network with the weights of the file at `path`, in their order."""
    keras.backend.clear_session()
    model = BUILD[architecture](channels, side)
    drawn = dict(official.weights(architecture, channels))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(list(drawn[layer.name].values()))
    if path is not None:
        model.save_weights(path)
    return model


def scores(model, channels, side):
    found = model.predict(official.image(channels, side).transpose(1, 2, 0)[None], verbose=0)
    return found[0].transpose(2, 0, 1)


def main(out, folder):
    arrays, notes = {}, {"tensorflow": tf.__version__}
    for architecture, channels in (("unet", 13), ("deeplabv3plus", 13), ("deeplabv3plus", 14)):
        for side in SIDES[architecture]:
            path = folder / f"{architecture}-{channels}.hdf5"
            model = build_network(architecture, channels, side, path)
            np.save(folder / f"{architecture}-{channels}-{side}.npy", scores(model, channels, side))
            if side == SIDES[architecture][0]:
                arrays[f"{architecture}_{channels}"] = scores(model, channels, side)[:, :STORED, :STORED]
                model.save(folder / f"{architecture}-{channels}-whole.h5")
            print(architecture, channels, side, flush=True)
    np.savez_compressed(out, notes=json.dumps(notes), **{k: v.astype(np.float32) for k, v in arrays.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[3]))
