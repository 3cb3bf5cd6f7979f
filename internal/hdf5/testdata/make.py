"""Makes old.h5.gz and new.h5.gz, files of h5py's old and new format, and the little tiny.h5.gz and newtiny.h5.gz."""
import gzip, os
import h5py
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))


def fill(f):
    f.attrs["text"] = "größer"
    f.attrs["bytes"] = b"fixed"
    f.attrs["many"] = np.array([b"a", b"bcd", b"ef"])
    f.attrs["long"] = ("0123456789" * 7000).encode()  # in the global heap
    f.attrs.create("variable", ["x", "yz", ""], dtype=h5py.string_dtype())
    f.attrs["none"] = []
    f.attrs["number"] = 7
    values = np.arange(7 * 5 * 3).reshape(7, 5, 3)
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u2"):
        f["types/" + kind] = values[:2].astype("<" + kind)
    f["types/big"] = values.astype(">f4")
    f["types/bool"] = np.array([True, False, True])
    f["types/complex"] = np.array([1j])
    f["scalar"] = np.float32(2.5)
    f["empty"] = np.zeros((0, 3), "f4")
    for i in range(5 if f.libver[0] != "earliest" else 300):
        f.create_group(f"groups/group{i:03d}").attrs["number"] = str(i)
    if f.libver[0] == "earliest":
        for name, keys in {
            "plain": {},
            "deflate": {"compression": "gzip"},
            "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
            "lzf": {"compression": "lzf"},
        }.items():
            f.create_dataset("chunks/" + name, data=values.astype("f4"), chunks=(3, 2, 2), **keys)
        f.create_dataset("chunks/missing", (100, 100), "f4", chunks=(10, 10))
        f.create_dataset("chunks/bomb", data=np.zeros((4000, 1000), "f4"), chunks=(4000, 1000), compression="gzip")
        f["link"] = h5py.SoftLink("/scalar")
    space = h5py.h5s.create_simple((2, 3))
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_layout(h5py.h5d.COMPACT)
    d = h5py.h5d.create(f.id, b"compact", h5py.h5t.IEEE_F32LE, space, p)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, values[0, :2].astype("f4"))


def tiny(f):
    f.attrs["a"] = ["x", "yz"]
    f.attrs["b"] = np.array([b"x"])
    f.create_dataset("g/d", data=np.arange(4, dtype="f4"), chunks=(3,), compression="gzip", shuffle=True)
    f["e"] = np.arange(3)


for name, libver, fill in (("old", "earliest", fill), ("new", "latest", fill), ("tiny", "earliest", tiny), ("newtiny", "latest", tiny)):
    path = os.path.join(here, name + ".h5")
    with h5py.File(path, "w", libver=libver) as f:
        fill(f)
    with open(path, "rb") as f, gzip.GzipFile(path + ".gz", "wb", mtime=0) as g:
        g.write(f.read())
    os.remove(path)
