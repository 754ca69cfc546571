"""Builds leaky.pyx: python setup.py build_ext --inplace, after the library (see ../README.md)."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import relu_layers as rl

extension = Extension(
    "leaky",
    ["leaky.pyx"],
    language="c++",
    include_dirs=[rl.get_include()],
    extra_objects=["library/librelu_layers.a"],
    extra_compile_args=["-std=c++17"],
    extra_link_args=["-pthread"],
)
setup(name="leaky", ext_modules=cythonize([extension]))
