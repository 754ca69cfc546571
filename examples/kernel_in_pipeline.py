"""One kernel inside a NumPy pipeline, on NumPy's own memory.

The pipeline finds the beats in a sound: spectrum of each frame, difference to the frame before, and of that
difference only what grew, summed over the frequencies. "Only what grew" is a ReLU. Everything else is
NumPy; the kernel writes into an array that NumPy made (``out=``), so nothing is copied, converted or
allocated. The program proves it: the array that comes back is the one that went in, and the traced memory
does not grow by a single frame.

Run it with ``python examples/kernel_in_pipeline.py``.
"""

from __future__ import annotations

import tracemalloc

import numpy as np

import relu_layers as rl

RATE = 8000  # samples per second
FRAME = 256  # samples per frame
BEATS = (12, 37, 62, 87)  # the frames in which a beat begins


def sound(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return soft noise with a decaying tone from the start of every beat, one frame per row."""
    samples = rng.normal(0, 0.01, frames * FRAME).astype(np.float32)
    seconds = np.arange(20 * FRAME) / RATE
    tone = (np.sin(2 * np.pi * 440 * seconds) * np.exp(-8 * seconds)).astype(np.float32)
    for beat in BEATS:
        part = samples[beat * FRAME : beat * FRAME + tone.size]
        part += tone[: part.size]
    return samples.reshape(frames, FRAME)


def differences(frames: np.ndarray) -> np.ndarray:
    """Return by how much each frequency of a frame is louder than in the frame before."""
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)).astype(np.float32)
    result = np.empty((len(spectrum) - 1, spectrum.shape[1]), dtype=np.float32)
    return np.subtract(spectrum[1:], spectrum[:-1], out=result)


def main() -> None:
    """Run the pipeline and print the beats and the proof."""
    growth = differences(sound(100, np.random.default_rng(0)))

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    result = rl.ops.relu_forward(growth, out=growth)  # in place: x and out are the same array
    grown = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()

    strength = growth.sum(axis=1)
    beats = np.flatnonzero(strength > 0.25 * strength.max()) + 1

    print(f"{growth.shape[0]} x {growth.shape[1]} numbers, {growth.nbytes:,} bytes")
    print("the kernel returned NumPy's own array:", result is growth)
    print("memory allocated by the call is less than one row:", grown < growth[0].nbytes)
    print("smallest number left:", growth.min())
    print("beats begin in frames", beats.tolist())


if __name__ == "__main__":
    main()
