"""Makes the models of this folder and expected.json: what Keras computes for them.

It takes keras, tf_keras, tensorflowjs. All models see 16x16x3 pixels, of which
value i is 37*i % 256.
"""
import gzip, json, os, shutil, sys, types

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import h5py
import keras
import numpy as np
import tf_keras

here = os.path.dirname(os.path.abspath(__file__))
pixels = (np.arange(16 * 16 * 3) * 37 % 256).reshape(1, 16, 16, 3).astype("f4")
expected = {}


def weights(m):
    r = np.random.default_rng(5)
    for w in m.weights:
        s, name = tuple(w.shape), getattr(w, "path", w.name)
        if "count" in name or "seed" in name:
            continue
        if "variance" in name:
            v = r.uniform(0.5, 2, s)
        elif len(s) > 1:
            v = r.normal(0, (2 / np.prod(s[: 2 if "depthwise" in name else -1])) ** 0.5, s)
        elif "gamma" in name:
            v = r.uniform(0.7, 1.3, s)
        else:
            v = r.normal(0, 0.2, s)
        w.assign(v)


def pack(path):
    with open(path, "rb") as f, gzip.GzipFile(path + ".gz", "wb", mtime=0) as g:
        g.write(f.read())
    os.remove(path)


def save(m, name, suffixes, x=pixels):
    expected[name] = np.asarray(m(x, training=False))[0].tolist()
    for s in suffixes:
        path = os.path.join(here, name + s)
        m.save(path)
        pack(path)


def base(L, version):
    """A Sequential model with preprocessing."""
    return [
        L.Rescaling(1 / 127.5, -1),
        L.RandomFlip(),
        L.Conv2D(4, 3, padding="same", activation="relu6", name="c"),
        L.BatchNormalization(name="b"),
        L.LeakyReLU(0.1),
        L.MaxPooling2D(),
    ]


def features(k, version):
    """A functional model for 8x8x4."""
    L = k.layers
    i = k.Input((8, 8, 4))
    x = L.DepthwiseConv2D(3, padding="same", use_bias=False)(i)
    x = L.BatchNormalization(scale=False)(x)
    y = L.SeparableConv2D(4, 3, padding="same", activation="swish", depth_multiplier=2)(x)
    x = L.Add()([x, y])
    s = L.GlobalAveragePooling2D()(x)
    s = L.Reshape((1, 1, 4))(s)
    s = L.Conv2D(2, 1, activation="relu")(s)
    s = L.Conv2D(4, 1, activation="hard_sigmoid")(s)
    x = L.Multiply()([x, s])
    x = L.ZeroPadding2D(((0, 1), (0, 1)))(x)
    y = L.Conv2D(4, 3, strides=2, groups=2)(x)
    z = L.Conv2D(3, 3, strides=1, dilation_rate=2, padding="same", activation="elu")(y)
    x = L.Concatenate()([y, z])
    x = L.Multiply()([x, L.ReLU(6.0)(x + 3.0) * (1 / 6.0)])  # hard swish as MobileNetV3 has it
    x = L.ZeroPadding2D(1)(x)
    x = L.MaxPooling2D(3, 2)(x)
    x = L.AveragePooling2D(2, 1, padding="same")(x)
    return k.Model(i, L.GlobalMaxPooling2D()(x), name="features")


def nested(k, version):
    L = k.layers
    b = k.Sequential(base(L, version), name="base")
    m = k.Sequential(
        [k.Input((16, 16, 3)), b, features(k, version), L.Dropout(0.2), L.Dense(5, activation="relu"), L.Dense(3, activation="softmax")],
        name="nested",
    )
    m(pixels)
    weights(m)
    return m


save(nested(keras, 3), "nested3", [".keras", ".h5"])
two = nested(tf_keras, 2)
save(two, "nested2", [".keras", ".h5"])

# Functional with a model inside, a layer without weights used twice, Normalization
# with adapted weights, Flatten and a sigmoid.
for k, name in ((keras, "inner3"), (tf_keras, "inner2")):
    L = k.layers
    inner = k.Sequential([k.Input((16, 16, 3)), L.Conv2D(4, 3, strides=2), L.Activation("tanh")], name="part")
    norm = L.Normalization()
    norm.adapt(pixels)
    i = k.Input((16, 16, 3))
    relu = L.ReLU()
    x = inner(norm(i))
    x = relu(L.Conv2D(3, 1)(relu(L.Conv2D(4, 1)(x))))
    x = L.Flatten()(L.AveragePooling2D(3)(x))
    m = k.Model(i, L.Dense(1, activation="sigmoid")(x))
    mean, variance = (np.asarray(w) for w in (norm.mean, norm.variance))
    weights(m)
    if k is keras:
        norm.mean.assign(mean) if hasattr(norm.mean, "assign") else None
    for w, v in zip(norm.weights, (mean.reshape(3), variance.reshape(3))):
        w.assign(v)
    norm.finalize_state()
    save(m, name, [".keras", ".h5"])

# Weights only, and chunked, compressed datasets.
two.save_weights(os.path.join(here, "weights2.h5"))
pack(os.path.join(here, "weights2.h5"))
with gzip.open(os.path.join(here, "nested2.h5.gz")) as g, open("/tmp/nested2.h5", "wb") as f:
    f.write(g.read())
with h5py.File("/tmp/nested2.h5") as f, h5py.File(os.path.join(here, "chunked2.h5"), "w") as out:
    out.attrs.update({k: v for k, v in f.attrs.items()})

    def copy(name, o):
        if isinstance(o, h5py.Dataset):
            keys = {"compression": "gzip", "shuffle": True, "chunks": True} if o.shape else {}
            c = out.create_dataset(name, data=o[()], **keys)
        else:
            c = out.require_group(name)
        c.attrs.update({k: v for k, v in o.attrs.items()})

    f.visititems(copy)
expected["chunked2"] = expected["nested2"]
pack(os.path.join(here, "chunked2.h5"))

# TensorFlow.js, with the converter's own code.
for name in ("tensorflow_decision_forests", "jax", "jax.experimental", "jax.experimental.jax2tf"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["jax.experimental"].jax2tf = None
from tensorflowjs.converters import keras_h5_conversion, keras_tfjs_loader
import tensorflowjs as tfjs

for name, dtypes in (("tfjs2", None), ("tfjs2_uint8", {"uint8": "*"}), ("tfjs2_uint16", {"uint16": "*"}), ("tfjs2_float16", {"float16": "*"})):
    dir = os.path.join(here, name)
    shutil.rmtree(dir, ignore_errors=True)
    tfjs.converters.save_keras_model(two, dir, quantization_dtype_map=dtypes)
    loaded = keras_tfjs_loader.load_keras_model(os.path.join(dir, "model.json"))
    expected[name] = np.asarray(loaded(pixels, training=False))[0].tolist()

with open(os.path.join(here, "expected.json"), "w") as f:
    json.dump(expected, f, indent=1)
    f.write("\n")
