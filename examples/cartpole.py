"""A pole on a cart, balanced by REINFORCE and by DQN, each learning step one captured call.

The cart is Barto, Sutton and Anderson's (1983, with Florian's correction of 2007, as in Gymnasium's CartPole); where
Gymnasium is installed its own is used. Where PyTorch is installed, the same two programs train a PyTorch network from
the same weights and seeds in float64, and the losses of 100 updates are compared.

Run it with ``python examples/cartpole.py``.
"""

from __future__ import annotations

import copy
import importlib.util
import math
from typing import Any, Protocol

import numpy as np

import relu_layers as rl

Array = np.ndarray[Any, np.dtype[Any]]

LONGEST = 200  # steps of an episode
DISCOUNT = 0.98
COMPARED = 100


class CartPole:
    """A pole of half length 0.5 m and 0.1 kg on a cart of 1 kg that is pushed with 10 N to one side or the other."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def reset(self) -> Array:
        """Return the first state: position, speed, angle and angular speed."""
        self._state = self._rng.uniform(-0.05, 0.05, 4).tolist()
        self._steps = 0
        return np.array(self._state)

    def step(self, action: int) -> tuple[Array, bool]:
        """Push to the left (0) or to the right (1); return the state after 0.02 s and whether the episode is over."""
        x, speed, angle, turning = self._state
        sine, cosine = math.sin(angle), math.cos(angle)
        pull = ((10.0 if action else -10.0) + 0.05 * turning**2 * sine) / 1.1
        turn = (9.8 * sine - cosine * pull) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
        drive = pull - 0.05 * turn * cosine / 1.1
        self._state = [x + 0.02 * speed, speed + 0.02 * drive, angle + 0.02 * turning, turning + 0.02 * turn]
        self._steps += 1
        fallen = abs(self._state[0]) > 2.4 or abs(self._state[2]) > math.radians(12)
        return np.array(self._state), fallen or self._steps == LONGEST


class Gymnasium:
    """The same of the package `gymnasium`."""

    def __init__(self, seed: int) -> None:
        import gymnasium

        self._pole, self._seed = gymnasium.make("CartPole-v1", max_episode_steps=LONGEST), seed

    def reset(self) -> Array:
        """Return the first state."""
        state, _ = self._pole.reset(seed=self._seed)
        self._seed += 1
        return state.astype(np.float64)

    def step(self, action: int) -> tuple[Array, bool]:
        """Return the next state and whether the episode is over."""
        state, _, fallen, ended, _ = self._pole.step(action)
        return state.astype(np.float64), fallen or ended


def cart(seed: int) -> CartPole | Gymnasium:
    """Return Gymnasium's cart where it is installed, else the one above."""
    return Gymnasium(seed) if importlib.util.find_spec("gymnasium") else CartPole(seed)


class Learner(Protocol):
    """A network and how it learns, in one library or the other."""

    def outputs(self, states: Array) -> Array:
        """Return logits or values, one row for each state."""

    def former_outputs(self, states: Array) -> Array:
        """Return those of the network that follows slowly."""

    def reinforce(self, states: Array, actions: Array, weights: Array) -> float:
        """Learn from the sum of ``-weight * log(probability of the action)``; return that sum."""

    def approach(self, states: Array, actions: Array, goals: Array) -> float:
        """Learn values from the mean of Huber's loss, then let the other network follow; return the loss."""


class Ours:
    """This package: a learning step is one call of `Trainer.step`."""

    def __init__(self, model: rl.Sequential, loss: Any) -> None:
        self.model, self.former = model, model.copy()
        self.trainer = rl.Trainer(model, loss, rl.Adam(0.005))

    def outputs(self, states: Array) -> Array:
        """Return logits or values."""
        return self.model(states)

    def former_outputs(self, states: Array) -> Array:
        """Return those of the network that follows slowly."""
        return self.former(states)

    def reinforce(self, states: Array, actions: Array, weights: Array) -> float:
        """Learn from weighted actions; the weights are those of a cross entropy."""
        return self.trainer.step(states, actions, sample_weight=weights)

    def approach(self, states: Array, actions: Array, goals: Array) -> float:
        """Learn values: one output of each row counts."""
        loss = self.trainer.step(states, (actions, goals))
        self.former.blend(self.model, 0.02)
        return loss


class PyTorchs:
    """PyTorch, from the same weights."""

    def __init__(self, model: rl.Sequential) -> None:
        import torch

        self.torch = torch
        layers: list[Any] = []
        for layer in model.layers:
            if isinstance(layer, rl.Dense):
                linear = torch.nn.Linear(*layer.params["weight"].shape, dtype=torch.float64)
                linear.weight.data = torch.tensor(layer.params["weight"].T.copy())
                linear.bias.data = torch.tensor(layer.params["bias"])
                layers.append(linear)
            else:
                layers.append(torch.nn.ReLU())
        self.net = torch.nn.Sequential(*layers)
        self.former = copy.deepcopy(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 0.005)

    def outputs(self, states: Array) -> Array:
        """Return logits or values."""
        with self.torch.no_grad():
            return np.asarray(self.net(self.torch.from_numpy(states)))

    def former_outputs(self, states: Array) -> Array:
        """Return those of the network that follows slowly."""
        with self.torch.no_grad():
            return np.asarray(self.former(self.torch.from_numpy(states)))

    def reinforce(self, states: Array, actions: Array, weights: Array) -> float:
        """Learn from weighted actions."""
        logits = self.net(self.torch.from_numpy(states))
        cross = self.torch.nn.functional.cross_entropy
        each = cross(logits, self.torch.from_numpy(actions), reduction="none")
        return self._learn((each * self.torch.from_numpy(weights)).sum())

    def approach(self, states: Array, actions: Array, goals: Array) -> float:
        """Learn values."""
        values = self.net(self.torch.from_numpy(states))
        chosen = values.gather(1, self.torch.from_numpy(actions)[:, None])[:, 0]
        loss = self._learn(self.torch.nn.functional.huber_loss(chosen, self.torch.from_numpy(goals)))
        with self.torch.no_grad():
            for own, other in zip(self.former.parameters(), self.net.parameters(), strict=True):
                own.lerp_(other, 0.02)
        return loss

    def _learn(self, loss: Any) -> float:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def reinforce(learner: Learner, updates: int, seed: int) -> tuple[list[float], list[int]]:
    """Return the losses and the lengths of as many episodes, one update after each.

    Rows are filled up with weight 0, so that all batches have one shape and one capture.
    """
    pole, rng = cart(seed), np.random.default_rng(seed)
    losses, lengths = [], []
    for _ in range(updates):
        states, actions = np.zeros((LONGEST, 4)), np.zeros(LONGEST, dtype=np.int64)
        state, length, over = pole.reset(), 0, False
        while not over:
            left, right = learner.outputs(state[None])[0]
            states[length], actions[length] = state, rng.random() < 1 / (1 + math.exp(left - right))
            state, over = pole.step(int(actions[length]))
            length += 1
        gains = np.ones(length)
        for i in range(length - 2, -1, -1):
            gains[i] += DISCOUNT * gains[i + 1]
        weights = np.zeros(LONGEST)
        weights[:length] = (gains - gains.mean()) / (gains.std() + 1e-8) / length
        losses.append(learner.reinforce(states, actions, weights))
        lengths.append(length)
    return losses, lengths


def dqn(learner: Learner, updates: int, seed: int) -> tuple[list[float], list[int]]:
    """Return the losses and the lengths of the episodes, one update after each step from the 64th on."""
    pole, rng = cart(seed), np.random.default_rng(seed)
    room = updates + 64
    before, after = np.empty((room, 4)), np.empty((room, 4))
    actions, going_on = np.empty(room, dtype=np.int64), np.empty(room)
    losses, lengths = [], []
    state, length = pole.reset(), 0
    for step in range(room):
        explores = rng.random() < max(0.05, 1 - step / 1000)
        action = int(rng.integers(2)) if explores else int(learner.outputs(state[None])[0].argmax())
        next_state, over = pole.step(action)
        before[step], actions[step], after[step], going_on[step] = state, action, next_state, not over
        state, length = next_state, length + 1
        if over:
            lengths.append(length)
            state, length = pole.reset(), 0
        if step < 64:
            continue
        rows = rng.integers(step + 1, size=64)
        goals = 1 + DISCOUNT * going_on[rows] * learner.former_outputs(after[rows]).max(axis=1)
        losses.append(learner.approach(before[rows], actions[rows], goals))
    return losses, lengths


PROGRAMS = {
    "REINFORCE": (reinforce, [4, 32, 2], lambda: rl.SoftmaxCrossEntropy(normalization="none"), 150),
    "DQN": (dqn, [4, 64, 64, 2], rl.Huber, 4000),
}


def main() -> None:
    """Train with both, and compare with PyTorch where it is installed."""
    for name, (program, sizes, loss, updates) in PROGRAMS.items():
        model = rl.mlp(sizes, dtype=np.float64, rng=1)
        start = model.copy()
        losses, lengths = program(Ours(model, loss()), updates, seed=0)
        ends = f"{np.mean(lengths[:10]):.0f} -> {np.mean(lengths[-10:]):.0f}"
        print(f"{name}: {len(losses)} updates, steps that the pole stands: {ends}")
        if importlib.util.find_spec("torch"):
            theirs, _ = program(PyTorchs(start), COMPARED, seed=0)
            ours, _ = program(Ours(start.copy(), loss()), COMPARED, seed=0)
            largest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
            print(f"  largest difference from PyTorch's losses in {COMPARED} updates: {largest:.1e}")
            print(f"  same losses: {'yes' if largest <= 1e-12 else 'no'}")


if __name__ == "__main__":
    main()
