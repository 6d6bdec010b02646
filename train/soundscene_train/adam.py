"""Adam on one flat vector: a dozen operations a step where an optimiser per variable needs a thousand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

__all__ = ["Adam"]

_MEAN_DECAY: Final = 0.9
_SQUARE_DECAY: Final = 0.999
_EPSILON: Final = 1e-7


class Adam:
    """Adam (Kingma and Ba, 2015) with Keras's defaults, and weight decay as the paper's penalty or decoupled.

    Parameters
    ----------
    variables : sequence of variables
        What is trained.
    weight_decay : float >= 0
        lambda of the penalty lambda / 2 * ||theta||^2, which is part of the loss; or, decoupled, of the shrinking.
    decoupled : bool
        Each step shrinks the weights by rate * weight_decay instead (AdamW, Loshchilov and Hutter, 2019).
    """

    def __init__(self, variables: Sequence[Any], weight_decay: float = 0.0, decoupled: bool = False) -> None:
        import tensorflow as tf

        self._variables = list(variables)
        self._penalty_decay = 0.0 if decoupled else weight_decay
        self._shrinking = weight_decay if decoupled else 0.0
        self._sizes = [int(np.prod(variable.shape)) for variable in self._variables]
        zeros = tf.zeros(sum(self._sizes))
        self._steps, self._mean, self._square = tf.Variable(0.0), tf.Variable(zeros), tf.Variable(zeros)

    @property
    def state(self) -> tuple[Any, ...]:
        """Variables to keep and restore."""
        return self._steps, self._mean, self._square

    def apply(self, gradients: Sequence[Any], rate: Any) -> Any:
        """Take one step.

        Parameters
        ----------
        gradients : sequence of tf.Tensor
            Of the loss without the penalty, one for each variable.
        rate : scalar
            Learning rate.

        Returns
        -------
        tf.Tensor
            The penalty before the step; 0 where the decay is decoupled.
        """
        import tensorflow as tf

        weights = tf.concat([tf.reshape(variable, (-1,)) for variable in self._variables], 0)
        gradient = tf.concat([tf.reshape(part, (-1,)) for part in gradients], 0) + self._penalty_decay * weights
        steps = self._steps.assign_add(1.0)
        mean = self._mean.assign(_MEAN_DECAY * self._mean + (1.0 - _MEAN_DECAY) * gradient)
        square = self._square.assign(_SQUARE_DECAY * self._square + (1.0 - _SQUARE_DECAY) * tf.square(gradient))
        corrected = rate * tf.sqrt(1.0 - _SQUARE_DECAY**steps) / (1.0 - _MEAN_DECAY**steps)
        change = corrected * mean / (tf.sqrt(square) + _EPSILON) + rate * self._shrinking * weights
        for variable, part in zip(self._variables, tf.split(change, self._sizes), strict=True):
            variable.assign_sub(tf.reshape(part, variable.shape))
        return self._penalty_decay * tf.nn.l2_loss(weights)
