"""Loops of one's own beside PyTorch: DQN, REINFORCE, an actor-critic and a physics fit, learning steps per second.

``python benchmarks/loops.py [--updates 100 --repetitions 7]`` needs PyTorch. Each loop is written as a user would write
it in either library; PyTorch's Adam is the fused one. First both train in float64 from the same weights on the same
minibatches and the losses are compared (relative to the largest); then steps are timed in float32, one thread, both
libraries in turn, and the ratio of the shortest times is printed. Times are those of the processor, so that other
programs on the machine disturb them little.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import relu_layers as rl

ROWS = 64
Step = Callable[[], float]


def twin(model: rl.Sequential) -> Any:
    """Return the same network in PyTorch."""
    layers: list[Any] = []
    for layer in model.layers:
        if isinstance(layer, rl.Dense):
            linear = torch.nn.Linear(*layer.params["weight"].shape)
            linear.weight.data = torch.tensor(layer.params["weight"].T.copy())
            linear.bias.data = torch.tensor(layer.params["bias"])
            layers.append(linear)
        else:
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def adam(*parameters: Any) -> Any:
    """Return PyTorch's fastest Adam."""
    return torch.optim.Adam([each for group in parameters for each in group], 0.001, fused=True)


def learn(optimizer: Any, loss: Any) -> float:
    """Do what a PyTorch loop does with a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def dqn(dtype: Any) -> tuple[Step, Step]:
    """Return a step of DQN, 4-64-64-2: rows drawn, goals of a second network, Huber's loss, the second one follows."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 1000, 4)).astype(dtype)
    actions, rewards = rng.integers(0, 2, 1000), rng.normal(size=1000).astype(dtype)
    model = rl.mlp([4, 64, 64, 2], dtype=dtype, rng=1)
    net = twin(model)
    former, former_net, optimizer = model.copy(), copy.deepcopy(net), adam(net.parameters())
    trainer = rl.Trainer(model, rl.Huber(), rl.Adam(0.001))
    draws = [np.random.default_rng(2) for _ in range(2)]
    kept = [torch.from_numpy(array) for array in (before, after, actions, rewards)]

    def ours() -> float:
        rows = draws[0].integers(0, 1000, ROWS)
        goals = rewards[rows] + dtype(0.98) * former(after[rows]).max(axis=1)
        loss = trainer.step(before[rows], (actions[rows], goals))
        former.blend(model, 0.02)
        return loss

    def theirs() -> float:
        rows = torch.from_numpy(draws[1].integers(0, 1000, ROWS))
        states, next_states, chosen, gains = (array[rows] for array in kept)
        with torch.no_grad():
            goals = gains + 0.98 * former_net(next_states).amax(1)
        values = net(states).gather(1, chosen[:, None])[:, 0]
        loss = learn(optimizer, functional.huber_loss(values, goals))
        with torch.no_grad():
            torch._foreach_lerp_(list(former_net.parameters()), list(net.parameters()), 0.02)
        return loss

    return ours, theirs


def reinforce(dtype: Any) -> tuple[Step, Step]:
    """Return a step of REINFORCE, 4-32-2: the rows of an episode, weighted with their advantages."""
    rng = np.random.default_rng(0)
    states, gains = rng.normal(size=(ROWS, 4)).astype(dtype), rng.normal(size=ROWS).astype(dtype)
    actions = rng.integers(0, 2, ROWS)
    model = rl.mlp([4, 32, 2], dtype=dtype, rng=1)
    net = twin(model)
    optimizer = adam(net.parameters())
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(normalization="full"), rl.Adam(0.001))
    kept = [torch.from_numpy(array) for array in (states, actions, gains)]

    def ours() -> float:
        return trainer.step(states, actions, sample_weight=gains - gains.mean())

    def theirs() -> float:
        rows, chosen, all_gains = kept
        each = functional.cross_entropy(net(rows), chosen, reduction="none")
        return learn(optimizer, (each * (all_gains - all_gains.mean())).mean())

    return ours, theirs


def actor_critic(dtype: Any) -> tuple[Step, Step]:
    """Return a step of an actor-critic: a trunk 4-64, two heads, one optimizer."""
    rng = np.random.default_rng(0)
    states, rewards = rng.normal(size=(ROWS, 4)).astype(dtype), rng.normal(size=ROWS).astype(dtype)
    actions = rng.integers(0, 2, ROWS)
    trunk = rl.Sequential(rl.Dense(4, 64), rl.ReLU(), dtype=dtype, rng=1)
    actor, critic = (rl.mlp([64, outputs], dtype=dtype, rng=seed) for outputs, seed in ((2, 2), (1, 3)))
    nets = [twin(model) for model in (trunk, actor, critic)]
    optimizer, their_optimizer = rl.Adam(0.001), adam(*(net.parameters() for net in nets))
    optimizer.bind(trunk, actor, critic)
    cross_entropy, square = rl.SoftmaxCrossEntropy(normalization="full"), rl.SquaredError(0.5)
    kept = [torch.from_numpy(array) for array in (states, actions, rewards)]
    wanted = rewards[:, None]

    def ours() -> float:
        features = trunk.forward(states, training=True)
        logits, value = actor.forward(features, training=True), critic.forward(features, training=True)
        actor_loss, dlogits = cross_entropy(logits, actions, sample_weight=rewards - value[:, 0])
        critic_loss, dvalue = square(value, wanted)
        dfeatures = actor.backward(dlogits)
        dfeatures += critic.backward(dvalue)
        trunk.backward(dfeatures, need_dx=False)
        optimizer.update()
        return actor_loss + critic_loss

    def theirs() -> float:
        rows, chosen, gains = kept
        features = nets[0](rows)
        value = nets[2](features)[:, 0]
        each = functional.cross_entropy(nets[1](features), chosen, reduction="none")
        loss = (each * (gains - value.detach())).mean() + 0.5 * functional.mse_loss(value, gains)
        return learn(their_optimizer, loss)

    return ours, theirs


def physics(dtype: Any) -> tuple[Step, Step]:
    """Return a step of a fit of forces, ``-k * x + net(v)``: friction as a network 1-32-32-1, a spring outside it."""
    rng = np.random.default_rng(0)
    x, v = rng.uniform(-1, 1, (2, ROWS, 1)).astype(dtype)
    force = (-3 * x - np.sign(v) * np.sqrt(abs(v))).astype(dtype)
    net = rl.mlp([1, 32, 32, 1], dtype=dtype, rng=1)
    their_net = twin(net)
    k, dk = np.ones(1, dtype), np.zeros(1, dtype)
    their_k = torch.ones(1, dtype=their_net[0].weight.dtype, requires_grad=True)
    optimizer, their_optimizer = rl.Adam(0.001), adam(their_net.parameters(), [their_k])
    optimizer.bind(net, (k, dk))
    positions, speeds, wanted = (torch.from_numpy(array) for array in (x, v, force))

    def ours() -> float:
        error = net.forward(v, training=True)
        error -= k * x
        error -= force
        loss = float(np.vdot(error, error)) / ROWS
        error *= 2 / ROWS
        dk[0] = -np.vdot(error, x)
        net.backward(error, need_dx=False)
        optimizer.update()
        return loss

    def theirs() -> float:
        return learn(their_optimizer, functional.mse_loss(their_net(speeds) - their_k * positions, wanted))

    return ours, theirs


LOOPS = {"DQN": dqn, "REINFORCE": reinforce, "actor-critic": actor_critic, "physics fit": physics}


def seconds(step: Step, steps: int) -> float:
    """Return the processor time of one step."""
    start = time.thread_time()
    for _ in range(steps):
        step()
    return (time.thread_time() - start) / steps


def main() -> None:
    """Print the comparison as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rl.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, {rl.build_info()['target']}, one thread\n")
    print("| loop | difference of the losses | us a step | PyTorch | ratio |\n|---|---|---|---|---|")
    for name, make in LOOPS.items():
        torch.set_default_dtype(torch.float64)
        ours, theirs = make(np.float64)
        pairs = np.array([(ours(), theirs()) for _ in range(given.updates)])
        difference = abs(pairs[:, 0] - pairs[:, 1]).max() / abs(pairs).max()
        torch.set_default_dtype(torch.float32)
        steps = make(np.float32)
        for step in steps:
            seconds(step, 20)
        rounds = [[seconds(step, 200) for step in steps] for _ in range(given.repetitions)]
        own, other = np.min(rounds, axis=0) * 1e6
        print(f"| {name} | {difference:.0e} | {own:.1f} | {other:.0f} | {other / own:.1f} |", flush=True)


if __name__ == "__main__":
    main()
